//! The web gateway: records in, receipts and pages out.
