//! Lets in only so many connections of one machine, so that none can use up the tracker's sockets.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;

use crate::machine::foreign_machine_of;

/// Connections beside those of workers that a machine may have: for people who look at pages.
const FOR_PAGES: usize = 1_000;

/// The connections that are open, by machine.
pub(crate) struct Turnstile {
    most: usize,
    /// Proxies have the connections of many.
    proxies: Vec<IpNet>,
    open: Mutex<HashMap<IpNet, usize>>,
}

/// A connection that was let in, until this is dropped.
pub(crate) struct Admitted {
    counted: Option<(Arc<Turnstile>, IpNet)>,
}

impl Turnstile {
    /// One that lets in the connections of so many workers a machine, and as many of `proxies` and
    /// of the tracker's own machine as come.
    pub(crate) fn new(workers: u32, proxies: Vec<IpNet>) -> Arc<Self> {
        let workers = usize::try_from(workers).unwrap_or(usize::MAX);
        Arc::new(Self {
            most: workers.saturating_add(FOR_PAGES),
            proxies,
            open: Mutex::default(),
        })
    }

    /// Lets a connection in; `None` where its machine has as many as it may.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Admitted> {
        let peer = peer.to_canonical();
        let is_proxy = self.proxies.iter().any(|net| net.contains(&peer));
        let Some(machine) = foreign_machine_of(peer).filter(|_| !is_proxy) else {
            return Some(Admitted { counted: None });
        };
        let mut open = self.open();
        let count = open.entry(machine).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        let counted = Some((Arc::clone(self), machine));
        Some(Admitted { counted })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpNet, usize>> {
        // No step under the lock leaves it half changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let Some((turnstile, machine)) = self.counted.take() else {
            return;
        };
        if let Entry::Occupied(mut count) = turnstile.open().entry(machine) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_so_many_connections_and_no_more() {
        let turnstile = Turnstile::new(2, vec!["10.0.0.0/8".parse().unwrap()]);
        let admit = |peer: &str| turnstile.admit(peer.parse().unwrap());
        let mut first: Vec<_> = (0..2 + FOR_PAGES)
            .map(|_| admit("2001:db8::1").unwrap())
            .collect();
        assert!(admit("2001:db8::2").is_none(), "the same /64");
        let others = ["2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.1"];
        let others: Vec<_> = others.map(|peer| admit(peer).unwrap()).into();
        for unlimited in ["10.0.0.1", "127.0.0.1", "::1"] {
            let all: Vec<_> = (0..3 + FOR_PAGES).map(|_| admit(unlimited)).collect();
            assert!(all.iter().all(Option::is_some), "{unlimited}");
        }
        first.pop();
        first.push(admit("2001:db8::2").unwrap());
        assert!(admit("2001:db8::2").is_none());
        drop((first, others));
        assert!(turnstile.open().is_empty());
    }
}
