//! Clients. Both reconnect by themselves, may be cloned cheaply and used from many tasks at once.

mod bulk;
mod ledger;
mod peer;

pub use ledger::{LedgerClient, TipStream};
pub use peer::PeerClient;

use crate::convert::ConversionError;
use crate::error::{ClientError, root_cause};
use crate::limits::{CONNECTION_WINDOW, ClientLimits, STREAM_WINDOW};
use blockhie_core::ErrorClass;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

/// What both clients share: who is asked, and for how long.
#[derive(Debug, Clone)]
struct Caller {
    address: String,
    request_time: Duration,
}

impl Caller {
    /// Connects; fails when there is nobody in time.
    async fn connect(address: &str, limits: &ClientLimits) -> Result<(Self, Channel), ClientError> {
        let bad = |reason: String| ClientError::Address { got: address.to_owned(), reason };
        let url = match address.split_once("://") {
            None => format!("http://{address}"),
            Some(("http", _)) => address.to_owned(),
            Some((scheme, _)) => return Err(bad(format!("{scheme} is not spoken in this release"))),
        };
        let endpoint = Endpoint::from_shared(url).map_err(|error| bad(root_cause(&error)))?;
        if endpoint.uri().port_u16().is_none() {
            return Err(bad("no port".to_owned()));
        }
        let endpoint = endpoint
            .connect_timeout(limits.connect_time)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(limits.keepalive_every)
            .keep_alive_timeout(limits.keepalive_time)
            .keep_alive_while_idle(true);
        let caller = Self { address: address.to_owned(), request_time: limits.request_time };
        match endpoint.connect().await {
            Ok(channel) => Ok((caller, channel)),
            Err(error) => Err(ClientError::Unreachable { address: caller.address, reason: root_cause(&error) }),
        }
    }

    /// One call, bounded as a whole: tonic's own timeout ends with the headers of the answer.
    async fn call<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, ClientError> {
        match tokio::time::timeout(self.request_time, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(ClientError::from_status(&self.address, &status)),
            Err(_) => {
                let reason = format!("nothing within {} ms", self.request_time.as_millis());
                Err(ClientError::Unreachable { address: self.address.clone(), reason })
            }
        }
    }

    /// The answer as a checked value.
    fn check<M, T>(&self, message: M) -> Result<T, ClientError>
    where
        T: TryFrom<M, Error = ConversionError>,
    {
        T::try_from(message).map_err(|error| ClientError::BadAnswer { address: self.address.clone(), error })
    }

    /// A part of the answer that has to be there.
    fn part<M>(&self, field: &'static str, part: Option<M>) -> Result<M, ClientError> {
        part.ok_or_else(|| self.broken(field, "a value", "none (field absent)"))
    }

    /// An answer that is not what was asked for.
    fn broken(
        &self,
        field: &'static str,
        expected: impl Into<std::borrow::Cow<'static, str>>,
        got: &str,
    ) -> ClientError {
        ClientError::BadAnswer { address: self.address.clone(), error: ConversionError::new(field, expected, got) }
    }
}

/// NOT_FOUND is an answer where one asks for a thing.
fn found<T>(result: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(ClientError::Status { class: ErrorClass::NotFound, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
