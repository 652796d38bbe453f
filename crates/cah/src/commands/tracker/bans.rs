//! The commands that keep people out, and let them in again.

use anyhow::{Result, anyhow, bail};
use cah_tracker::{
    Clock, SystemClock, operation,
    store::{Excluded, Exclusion, Store},
};
use clap::ArgGroup;
use serde::Deserialize;
use serde_json::{Value, json};

use super::place::{self, Project, Tracker};
use crate::display::{counted, print};

/// Keep a contributor, a network or a worker out
///
/// Connected workers that are meant are removed, and their jobs are open again; what they finished
/// stays.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group = ArgGroup::new("whom").required(true).args(["nickname", "network", "worker"]))]
pub(super) struct BanArgs {
    #[command(flatten)]
    place: place::Args,

    /// A contributor, whatever the case of the letters
    #[arg(long, value_name = "NAME")]
    nickname: Option<String>,

    /// An address or a network, such as 192.0.2.0/24; it gets no answer but that it is kept out
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,

    /// A connected worker, by its display name: its address is kept out
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,

    /// Why, for those who look at the list
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
}

pub(super) async fn ban(args: BanArgs) -> Result<()> {
    cah_protocol::check_message(&args.reason)?;
    let project = args.place.open().await?;
    let whom = Whom {
        nickname: args.nickname,
        network: args.network,
        worker: args.worker,
    };
    let done = match &project {
        Project::Store(store) => whom.keep_out_of(&**store, args.reason).await,
        Project::Tracker(tracker) => whom.keep_out_through(tracker, args.reason).await,
    };
    project.close().await;
    let (whom, removed) = done?;
    let removed = counted(removed, "worker");
    print(&format!("{} is kept out; {removed} went\n", shown(&whom)))
}

struct Whom {
    nickname: Option<String>,
    network: Option<String>,
    worker: Option<String>,
}

impl Whom {
    async fn keep_out_of(self, store: &dyn Store, reason: String) -> Result<(Excluded, u64)> {
        let whom = match (&self.worker, self.excluded()?) {
            (Some(name), _) => Excluded::Network(operation::network_of(store, name).await?),
            (None, Some(whom)) => whom,
            (None, None) => bail!("name one with --nickname, --network or --worker"),
        };
        operation::check_excluded(&whom, &[])?;
        let exclusion = Exclusion {
            whom: whom.clone(),
            reason,
            at: SystemClock::default().now(),
        };
        Ok((whom, store.exclude(exclusion).await?))
    }

    async fn keep_out_through(self, tracker: &Tracker, reason: String) -> Result<(Excluded, u64)> {
        #[derive(Deserialize)]
        struct Answer {
            banned: Excluded,
            removed: u64,
        }
        let body = json!({
            "nickname": self.nickname,
            "network": self.network,
            "worker": self.worker,
            "reason": reason,
        });
        let Answer { banned, removed } = tracker.post("ban", body).await?;
        Ok((banned, removed))
    }

    /// A nickname or network.
    fn excluded(&self) -> Result<Option<Excluded>> {
        let (nickname, network) = (self.nickname.as_deref(), self.network.as_deref());
        operation::parse_excluded(nickname, network).map_err(|why| anyhow!(why))
    }
}

fn shown(whom: &Excluded) -> String {
    match whom {
        Excluded::Nickname(nickname) => nickname.clone(),
        Excluded::Network(network) => network.to_string(),
    }
}

/// Let a contributor or a network in again
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group = ArgGroup::new("whom").required(true).args(["nickname", "network"]))]
pub(super) struct UnbanArgs {
    #[command(flatten)]
    place: place::Args,

    /// A contributor
    #[arg(long, value_name = "NAME")]
    nickname: Option<String>,

    /// A network, as `bans` lists it
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
}

pub(super) async fn unban(args: UnbanArgs) -> Result<()> {
    let project = args.place.open().await?;
    let whom = Whom {
        nickname: args.nickname,
        network: args.network,
        worker: None,
    };
    let done = let_in(&project, &whom).await;
    project.close().await;
    print(&format!("{} may take part again\n", shown(&done?)))
}

async fn let_in(project: &Project, whom: &Whom) -> Result<Excluded> {
    let excluded = whom.excluded()?;
    let excluded = excluded.ok_or_else(|| anyhow!("name one with --nickname or --network"))?;
    match project {
        Project::Store(store) => match store.readmit(excluded.clone()).await? {
            true => Ok(excluded),
            false => bail!("nobody keeps {} out", shown(&excluded)),
        },
        Project::Tracker(tracker) => {
            let body = json!({"nickname": whom.nickname, "network": whom.network});
            let _: Value = tracker.post("unban", body).await?;
            Ok(excluded)
        }
    }
}

/// List whom the operator keeps out
#[derive(Debug, clap::Args)]
pub(super) struct BansArgs {
    #[command(flatten)]
    place: place::Args,

    /// Write JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) async fn bans(args: BansArgs) -> Result<()> {
    let project = args.place.open().await?;
    let bans = match &project {
        Project::Store(store) => store.exclusions().await.map_err(Into::into),
        Project::Tracker(tracker) => tracker.get("bans").await,
    };
    project.close().await;
    let bans: Vec<Exclusion> = bans?;
    if args.json {
        return print(&format!("{}\n", serde_json::to_string_pretty(&bans)?));
    }
    if bans.is_empty() {
        return print("Nobody is kept out\n");
    }
    let line = |ban: &Exclusion| {
        let kind = match ban.whom {
            Excluded::Nickname(_) => "nickname",
            Excluded::Network(_) => "network",
        };
        format!("{kind:<9} {:<40} {}\n", shown(&ban.whom), ban.reason)
    };
    print(&bans.iter().map(line).collect::<String>())
}
