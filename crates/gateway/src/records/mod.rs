//! Records: sealed and queued, submitted, followed until they are final.

pub(crate) mod publish;
pub(crate) mod status;
