//! Reading queries and bodies without trusting them.

use std::{str::FromStr, time::Duration};

use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, FromRequestParts, Request},
    http::request::Parts,
};
use cah_protocol::{MAX_RESULT_BYTES, WorkerType};
use cah_task::blocking;
use futures::StreamExt;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{App, error::ApiError};
use crate::{
    store::{Caller, Role},
    token::TokenHash,
};

/// The largest job number that a store can hold.
pub(super) const MAX_NUMBER: u64 = i64::MAX as u64;

/// The parameters of a query. Where a name comes twice, the last one counts.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    fn read(query: &str) -> Result<Self, ApiError> {
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name)?, decode(value)?))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut named = self.0.iter().rev().filter(|(known, _)| known == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// The type of worker; HYBRID where it is left out.
    pub(super) fn worker_type(&self) -> Result<WorkerType, ApiError> {
        self.get("type")
            .map_or(Ok(WorkerType::default()), worker_type)
    }

    /// A whole number, from 0 on.
    pub(super) fn count(&self, name: &str) -> Result<Option<u64>, ApiError> {
        self.parse(name, "a whole number from 0 on")
    }

    /// A whole number.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.parse(name, "a whole number")
    }

    fn parse<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, ApiError> {
        let parsed = self.get(name).map(str::parse);
        parsed
            .transpose()
            .map_err(|_| ApiError::BadRequest(format!("`{name}` must be {what}.")))
    }
}

fn decode(text: &str) -> Result<String, ApiError> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    let decoded = decoded.map_err(|_| ApiError::BadRequest("The query is not UTF-8.".into()))?;
    Ok(decoded.into_owned())
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::read(parts.uri.query().unwrap_or_default())
    }
}

/// The longest body of a call: of most, and of those that bring a result, every byte of which may
/// be escaped.
const SMALL: usize = 64 << 10;
const LARGE: usize = 6 * MAX_RESULT_BYTES + SMALL;

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// The fields of a JSON object, whatever the content type says.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

/// The fields of a call that brings a result.
#[derive(Debug)]
pub(super) struct LargeFields(pub(super) Fields);

impl Fields {
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let refuse = |text: &str| Err(ApiError::BadRequest(text.into()));
        if body.trim_ascii().is_empty() {
            return refuse("The request has no body; a JSON object is expected.");
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => refuse("The body is JSON, but no object."),
            Err(_) => refuse("The body is not valid JSON."),
        }
    }

    /// A text that must be there.
    pub(super) fn text(&self, name: &str) -> Result<&str, ApiError> {
        self.optional_text(name)?.ok_or_else(|| missing(name))
    }

    pub(super) fn optional_text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ApiError::BadRequest(format!("`{name}` must be text."))),
        }
    }

    /// A number of things, 0 to `most`.
    pub(super) fn optional_count(&self, name: &str, most: u64) -> Result<Option<u64>, ApiError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(count) if count <= most => Ok(Some(count)),
                _ => Err(ApiError::BadRequest(format!(
                    "`{name}` must be a whole number from 0 to {most}."
                ))),
            },
        }
    }

    /// The worker's token.
    pub(super) fn token(&self) -> Result<&str, ApiError> {
        self.text("token")
    }

    /// The type of worker; HYBRID where it is left out.
    pub(super) fn worker_type(&self) -> Result<WorkerType, ApiError> {
        self.optional_text("type")?
            .map_or(Ok(WorkerType::default()), worker_type)
    }

    /// Who calls: the token, and the type of worker where the call says it. Where it does not, as
    /// in DistCompute, the token alone tells what its worker was taken in as.
    pub(super) fn caller(&self) -> Result<Caller, ApiError> {
        let token = TokenHash::of(self.token()?);
        let worker_type = self.optional_text("type")?.map(worker_type).transpose()?;
        let role = worker_type.map(Role::from);
        Ok(Caller { token, role })
    }

    /// A list that must be there.
    pub(super) fn list(&self, name: &str) -> Result<&[Value], ApiError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Err(missing(name)),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(ApiError::BadRequest(format!("`{name}` must be a list."))),
        }
    }

    /// An object that must be there.
    pub(super) fn object(&self, name: &str) -> Result<&Map<String, Value>, ApiError> {
        self.optional_object(name)?.ok_or_else(|| missing(name))
    }

    pub(super) fn optional_object(
        &self,
        name: &str,
    ) -> Result<Option<&Map<String, Value>>, ApiError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(fields)),
            Some(_) => Err(ApiError::BadRequest(format!("`{name}` must be an object."))),
        }
    }

    /// A job number that must be there.
    pub(super) fn number(&self, name: &str) -> Result<u64, ApiError> {
        self.optional_count(name, MAX_NUMBER)?
            .ok_or_else(|| missing(name))
    }
}

/// The refusal of a call without a field that it needs.
pub(super) fn missing(name: &str) -> ApiError {
    ApiError::BadRequest(format!("`{name}` is missing."))
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        Self::parse(&received(request.into_body(), SMALL, None).await?.0)
    }
}

/// How many large bodies may arrive at the same time, and how many be parsed: a small body of the
/// right make becomes a lot of values.
pub(super) struct Turns {
    receiving: Semaphore,
    parsing: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            receiving: Semaphore::new(128),
            parsing: Semaphore::new(2),
        }
    }
}

/// A turn; who waits too long is told that there is too much to do.
async fn turn(turns: &Semaphore) -> Result<SemaphorePermit<'_>, ApiError> {
    let turn = timeout(PATIENCE, turns.acquire()).await;
    // They are never closed.
    turn.ok().and_then(Result::ok).ok_or(ApiError::Overloaded)
}

impl FromRequest<App> for LargeFields {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let turns = Some(&app.turns.receiving);
        let (body, _turn) = received(request.into_body(), LARGE, turns).await?;
        let fields = match body.len() {
            ..=SMALL => Fields::parse(&body),
            // Nobody else has to wait meanwhile.
            _ => {
                let _parsing = turn(&app.turns.parsing).await?;
                blocking(move || Fields::parse(&body)).await
            }
        };
        fields.map(Self)
    }
}

/// A whole body, of so many bytes at most; one that is not small needs a turn, which comes with it,
/// so that many who send slowly keep nobody from sending little.
async fn received(
    body: Body,
    most: usize,
    turns: Option<&Semaphore>,
) -> Result<(Vec<u8>, Option<SemaphorePermit<'_>>), ApiError> {
    if body.size_hint().lower() > most as u64 {
        return Err(ApiError::TooLarge(most));
    }
    let (mut bytes, mut permit) = (Vec::new(), None);
    let mut parts = body.into_data_stream();
    let receive = async {
        while let Some(part) = parts.next().await {
            let part = part.map_err(|_| ApiError::BadRequest("The body did not arrive.".into()))?;
            if bytes.len() + part.len() > most {
                return Err(ApiError::TooLarge(most));
            }
            if let (Some(turns), None) = (turns, &permit)
                && bytes.len() + part.len() > SMALL
            {
                permit = Some(turn(turns).await?);
            }
            bytes.extend_from_slice(&part);
        }
        Ok(())
    };
    let arrived = timeout(PATIENCE, receive).await;
    arrived.unwrap_or(Err(ApiError::TooSlow))?;
    Ok((bytes, permit))
}

/// A type by its name on the wire, in any case.
pub(super) fn worker_type(text: &str) -> Result<WorkerType, ApiError> {
    [WorkerType::Hybrid, WorkerType::Cpu, WorkerType::Gpu]
        .into_iter()
        .find(|known| known.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| {
            ApiError::BadRequest("Unknown worker type; the types are HYBRID, CPU and GPU.".into())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn queries_are_decoded() {
        let params = Params::read("nickname=a+b%26c&type=GPU&&x").ok().unwrap();
        assert_eq!(params.get("nickname"), Some("a b&c"));
        assert_eq!(params.worker_type().ok(), Some(WorkerType::Gpu));
        assert_eq!(params.get("x"), Some(""));
        assert!(Params::read("nickname=%ff").is_err());
    }

    #[test]
    fn fields_have_their_types() {
        let fields = Fields::parse(br#"{"token":"t","count":7,"url":null,"n":-1}"#).unwrap();
        assert_eq!(fields.token().unwrap(), "t");
        assert_eq!(fields.optional_count("count", 9).unwrap(), Some(7));
        assert!(fields.optional_count("count", 6).is_err());
        assert!(fields.optional_count("n", 6).is_err());
        assert_eq!(fields.optional_text("url").unwrap(), None);
        assert!(fields.text("url").is_err() && fields.text("count").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Fields::parse(&bytes);
            let _ = Params::read(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn what_is_encoded_is_decoded(name in "\\PC{0,20}", value in "\\PC{0,20}") {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair(&name, &value)
                .finish();
            let params = Params::read(&query).ok().unwrap();
            prop_assert_eq!(params.get(&name), Some(value.as_str()));
        }
    }
}
