//! Who may do what operators do.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};

use super::{App, error::ApiError};

/// A call with the operator's token, as `Authorization: Bearer TOKEN`.
pub(super) struct Operator;

const NO_TOKEN: ApiError =
    ApiError::Forbidden("This tracker has no admin token; its operator can give it one.");

impl FromRequestParts<App> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        app.service.config().admin_token.as_ref().ok_or(NO_TOKEN)?;
        match has_token(app, &parts.headers) {
            true => Ok(Self),
            false => Err(ApiError::Unauthorized(
                "This call needs the admin token, as `Authorization: Bearer TOKEN`.",
            )),
        }
    }
}

/// Whether a call has the operator's token.
pub(super) fn has_token(app: &App, headers: &HeaderMap) -> bool {
    let token = app.service.config().admin_token.as_ref();
    Option::zip(token, bearer(headers)).is_some_and(|(token, sent)| token.matches(sent))
}

/// What a call has as `Authorization: Bearer`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let sent = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = sent.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// Checks the password of a call of the public tracker, where the operator lets these in. A wrong one
/// is what the caller may not do, of which that protocol says 403.
pub(super) fn check_password(app: &App, sent: Option<&str>) -> Result<(), ApiError> {
    let config = app.service.config();
    if !config.password_calls {
        return Err(ApiError::Forbidden(
            "Calls with a password are turned off on this tracker.",
        ));
    }
    let token = config.admin_token.as_ref().ok_or(NO_TOKEN)?;
    match sent {
        Some(sent) if token.matches(sent) => Ok(()),
        _ => Err(ApiError::Forbidden("The password is wrong.")),
    }
}
