//! Four nodes and a gateway, any of which may be killed and comes back with its data and address.

use super::{AWAY_MS, Dice};
use crate::running::{Running, stop_all};
use crate::system::{Binaries, Chain, GatewayPlan, Kind};
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;

/// Seconds within which the halves of a link go out: short, so that links begin and end between kills.
const LINK_WINDOW_S: u32 = 2;
/// Place of the gateway, after two nodes of each chain.
const GATEWAY: usize = 4;

pub(super) struct Town {
    binaries: Binaries,
    emr: Chain,
    phd: Chain,
    plan: GatewayPlan,
    /// None while one is away.
    servers: Vec<Option<Running>>,
    addresses: Vec<String>,
}

impl Town {
    pub(super) fn start(binaries: &Binaries, dir: &Path) -> Result<Self> {
        let emr = Chain::make(binaries, dir, Kind::Emr, &["north-hospital", "south-hospital"])?;
        let phd = Chain::make(binaries, dir, Kind::Phd, &["east-sensors", "west-sensors"])?;
        let nodes: Vec<Running> = emr.start_all()?.into_iter().chain(phd.start_all()?).collect();
        let plan = GatewayPlan {
            dir: dir.join("gateway"),
            key: emr.key(0),
            emr: nodes[0].url(),
            phd: nodes[2].url(),
            link_window_s: LINK_WINDOW_S,
        };
        let gateway = plan.start(binaries, "127.0.0.1:0")?;
        let servers: Vec<Running> = nodes.into_iter().chain([gateway]).collect();
        let addresses = servers.iter().map(|server| server.address().to_owned()).collect();
        let servers = servers.into_iter().map(Some).collect();
        Ok(Self { binaries: binaries.clone(), emr, phd, plan, servers, addresses })
    }

    pub(super) fn gateway_url(&self) -> String {
        format!("http://{}", self.addresses[GATEWAY])
    }

    pub(super) fn plan(&self) -> &GatewayPlan {
        &self.plan
    }

    pub(super) fn emr(&self) -> &Chain {
        &self.emr
    }

    pub(super) fn phd(&self) -> &Chain {
        &self.phd
    }

    /// Kills one and starts it again; answers which.
    pub(super) fn kill_one(&mut self, dice: &mut Dice) -> Result<String> {
        let place = usize::try_from(dice.between((0, self.servers.len() as u64))).context("few servers")?;
        let name = match place {
            GATEWAY => "the gateway".to_owned(),
            0 | 1 => self.emr.name(place),
            _ => self.phd.name(place - 2),
        };
        self.servers[place].take().context("all run between rounds")?.kill()?;
        std::thread::sleep(Duration::from_millis(dice.between(AWAY_MS)));
        self.servers[place] = Some(self.start_again(place).with_context(|| format!("{name} after its kill"))?);
        Ok(name)
    }

    fn start_again(&self, place: usize) -> Result<Running> {
        let listen = self.addresses[place].as_str();
        if place == GATEWAY {
            return self.plan.start(&self.binaries, listen);
        }
        let (chain, member) = if place < 2 { (&self.emr, place) } else { (&self.phd, place - 2) };
        // The other one of its chain: 0 and 1, 2 and 3.
        chain.start(member, listen, &[self.addresses[place ^ 1].clone()], &[])
    }

    /// Both nodes of each chain must agree; then all is stopped, and every store checked.
    pub(super) fn finish(&mut self) -> Result<()> {
        let servers: Vec<Running> = self.servers.iter_mut().filter_map(Option::take).collect();
        let nodes: Vec<&Running> = servers.iter().collect();
        let heights = (self.emr.agree(&nodes[..2])?, self.phd.agree(&nodes[2..GATEWAY])?);
        println!(
            "both nodes agree on block {} of the EMR-Chain, and on block {} of the PHD-Chain",
            heights.0, heights.1
        );
        stop_all(servers.into_iter().rev())?;
        println!("everything is stopped");
        self.emr.fsck_all()?;
        self.phd.fsck_all()
    }
}
