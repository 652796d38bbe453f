//! Who calls: from which address, with which key, and whether too often.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, Uri, request::Parts, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};
use ipnet::IpNet;

use super::{App, error::ApiError, operator};
use crate::machine::foreign_machine_of;

/// What proxies say for whom they call, the last one at the end.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Clients that know of no key have it in the address of the tracker, behind this.
const KEY_PREFIX: &str = "/k/";

/// The other end of a connection.
#[derive(Clone, Copy)]
struct Peer(IpAddr);

/// The key that came in the path.
#[derive(Clone)]
pub(super) struct PathKey(pub(super) String);

/// Takes note of where a call comes from, and takes the join key out of its path, before it is
/// looked for among the routes.
pub(crate) fn from_peer<B>(mut call: Request<B>, peer: IpAddr) -> Request<B> {
    call.extensions_mut().insert(Peer(peer.to_canonical()));
    if let Some((key, uri)) = without_key(call.uri()) {
        call.extensions_mut().insert(PathKey(key));
        *call.uri_mut() = uri;
    }
    call
}

fn without_key(uri: &Uri) -> Option<(String, Uri)> {
    let path = uri.path_and_query()?.as_str().strip_prefix(KEY_PREFIX)?;
    let (key, rest) = path.split_once('/')?;
    let rest: PathAndQuery = format!("/{rest}").parse().ok()?;
    Some((key.to_owned(), Uri::from(rest)))
}

/// Whom calls come from, and how many are too many.
pub(crate) struct Callers {
    trusted: Vec<IpNet>,
    /// Whether the operator was told of a proxy that is not trusted.
    told: AtomicBool,
    limiter: Option<(NonZeroU32, DefaultKeyedRateLimiter<IpNet>)>,
}

impl Callers {
    pub(crate) fn new(trusted: Vec<IpNet>, limit: Option<NonZeroU32>) -> Self {
        let limiter = limit.map(|limit| {
            let quota = Quota::per_second(limit).allow_burst(limit.saturating_mul(TWO));
            (limit, DefaultKeyedRateLimiter::keyed(quota))
        });
        Self {
            trusted,
            told: AtomicBool::new(false),
            limiter,
        }
    }

    /// The address that a call comes from: the connection's, or the last one that a trusted proxy
    /// names and that is no trusted proxy itself.
    fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let is_trusted = |ip: &IpAddr| self.trusted.iter().any(|net| net.contains(ip));
        if !is_trusted(&peer) && headers.contains_key(FORWARDED_FOR) {
            self.tell_of_proxy(peer);
        }
        let mut address = peer;
        let named = headers.get_all(FORWARDED_FOR).iter().rev();
        let named = named.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
        for name in named {
            if !is_trusted(&address) {
                break;
            }
            match name.trim().parse::<IpAddr>() {
                Ok(named) => address = named.to_canonical(),
                // Who says nonsense says no more.
                Err(_) => break,
            }
        }
        address
    }

    /// Behind a proxy that nobody named all callers look like one, with the limits of one.
    fn tell_of_proxy(&self, peer: IpAddr) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %peer,
                "a call says that it comes through a proxy, which is not trusted: the address of \
                 its caller is taken to be the proxy's; name the proxy in `trusted-proxies` if it \
                 is yours"
            );
        }
    }

    /// Counts a call. Those of this machine are its operator's own.
    fn check(&self, address: IpAddr) -> Result<(), ApiError> {
        let Some((limit, limiter)) = &self.limiter else {
            return Ok(());
        };
        let Some(machine) = foreign_machine_of(address) else {
            return Ok(());
        };
        limiter.check_key(&machine).map_err(|too_many| {
            let wait = too_many.wait_time_from(DefaultClock::default().now());
            ApiError::TooMany {
                limit: *limit,
                wait: wait.max(Duration::from_secs(1)),
            }
        })
    }

    /// Forgets addresses that have not called for a while.
    pub(crate) fn forget_quiet(&self) {
        if let Some((_, limiter)) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// The refusal of whom the operator keeps out.
pub(super) const KEPT_OUT: ApiError =
    ApiError::Forbidden("The operator of this tracker keeps you out; ask why.");

/// The address that a call comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address(pub(super) IpAddr);

impl<S: Sync> FromRequestParts<S> for Address {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // Every call passes by `identify`.
        parts.extensions.get().copied().ok_or(ApiError::Internal)
    }
}

/// Finds out who calls, and refuses who calls too often.
pub(super) async fn identify(State(app): State<App>, mut call: Request, next: Next) -> Response {
    let callers: &Arc<Callers> = &app.callers;
    // Only tests that have no connection have no peer.
    let peer = call
        .extensions()
        .get()
        .map_or(IpAddr::from([127, 0, 0, 1]), |Peer(ip)| *ip);
    let address = callers.address(peer, call.headers());
    // Whoever banned an address by mistake must be able to take that back.
    let is_kept_out = app.service.keeps_out(None, Some(address));
    if is_kept_out && !operator::has_token(&app, call.headers()) {
        return KEPT_OUT.into_response();
    }
    if let Err(refused) = callers.check(address) {
        return refused.into_response();
    }
    call.extensions_mut().insert(Address(address));
    next.run(call).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callers(limit: u32) -> Callers {
        let trusted = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        Callers::new(trusted, NonZeroU32::new(limit))
    }

    fn address(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        let peer: IpAddr = peer.parse().unwrap();
        callers(0).address(peer, &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(address("192.0.2.1", &["1.1.1.1"]), "192.0.2.1");
        assert_eq!(address("10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(address("10.0.0.1", &["6.6.6.6, 1.1.1.1"]), "1.1.1.1");
        assert_eq!(
            address("10.0.0.1", &["6.6.6.6", "1.1.1.1, 10.0.0.2"]),
            "1.1.1.1"
        );
        assert_eq!(address("10.0.0.1", &["1.1.1.1, nonsense"]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &["10.0.0.2"]), "10.0.0.2");
        assert_eq!(address("::1", &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(address("10.0.0.1", &["::ffff:1.1.1.1"]), "1.1.1.1");
    }

    #[test]
    fn who_calls_too_often_waits() {
        let callers = callers(5);
        let check = |text: &str| callers.check(text.parse().unwrap());
        for _ in 0..10 {
            check("192.0.2.1").unwrap();
            check("2001:db8::1").unwrap();
            check("127.0.0.1").unwrap();
        }
        assert!(matches!(check("192.0.2.1"), Err(ApiError::TooMany { .. })));
        // The neighbour in the same /64 is the same one.
        assert!(check("2001:db8::2").is_err() && check("2001:db8:0:1::2").is_ok());
        assert!(check("192.0.2.2").is_ok() && check("127.0.0.1").is_ok());
        callers.forget_quiet();
        assert!(check("192.0.2.1").is_err());
    }

    #[test]
    fn the_key_is_taken_out_of_the_path() {
        let stripped = |uri: &'static str| {
            let (key, uri) = without_key(&Uri::from_static(uri))?;
            Some((key, uri.to_string()))
        };
        assert_eq!(
            stripped("/k/secret/api/new?type=CPU"),
            Some(("secret".into(), "/api/new?type=CPU".into()))
        );
        assert_eq!(stripped("/k/secret/"), Some(("secret".into(), "/".into())));
        for other in ["/", "/k/", "/k/secret", "/api/new?x=/k/a/b", "/kx/a/b"] {
            assert_eq!(stripped(other), None, "{other}");
        }
    }
}
