//! Faults of the plan: after each beginning and end the state of everything is derived anew from those under way.

use super::World;
use crate::faults::{CrashPoint, Trouble};
use crate::store::StoreFaults;

impl World {
    pub(super) fn fault(&mut self, at: usize, begins: bool) {
        let trouble = self.setup.faults[at].trouble.clone();
        if self.quiet {
            return;
        }
        let verb = if begins { "begins" } else { "ends" };
        self.say(|| format!("{trouble:?} {verb}"));
        if begins {
            self.active_faults.insert(at);
        } else {
            self.active_faults.remove(&at);
        }
        self.derive();
        if let Trouble::Crash(node, point) = trouble {
            match (begins, point) {
                (true, CrashPoint::Idle) => self.crash(node, "between two turns"),
                (true, point) => self.nodes[node].armed = Some(point),
                (false, _) => {
                    self.nodes[node].armed = None;
                    self.start(node);
                }
            }
        }
    }

    fn active(&self) -> Vec<Trouble> {
        self.active_faults.iter().map(|at| self.setup.faults[*at].trouble.clone()).collect()
    }

    /// Everything but crashes.
    pub(super) fn derive(&mut self) {
        let troubles = self.active();
        self.net.link = self.setup.link;
        self.net.cut.clear();
        for trouble in &troubles {
            let link = &mut self.net.link;
            match trouble {
                Trouble::Loss(ppm) => link.loss_ppm = link.loss_ppm.max(*ppm),
                Trouble::Duplicates(ppm) => link.duplicate_ppm = link.duplicate_ppm.max(*ppm),
                Trouble::Slow(factor) => {
                    link.delay_ms = (link.delay_ms * factor).min(2_000);
                    link.jitter_ms = (link.jitter_ms * factor).min(3_000);
                }
                Trouble::OneWay(from, to) => drop(self.net.cut.insert((*from, *to))),
                Trouble::Partition(side) => {
                    for a in side {
                        for b in (0..self.setup.nodes.len()).filter(|b| !side.contains(b)) {
                            self.net.cut.extend([(*a, b), (b, *a)]);
                        }
                    }
                }
                _ => {}
            }
        }
        for node in 0..self.nodes.len() {
            self.derive_node(node, &troubles);
        }
    }

    fn derive_node(&mut self, node: usize, troubles: &[Trouble]) {
        let (mut faults, mut skew_ms, mut factor) = (StoreFaults::default(), self.setup.nodes[node].skew_ms, None);
        let (mut disk_full, mut paused, mut held) = (false, false, false);
        for trouble in troubles {
            match trouble {
                Trouble::CommitFails(of, ppm) if *of == node => faults.commit_ppm = faults.commit_ppm.max(*ppm),
                Trouble::ReadFails(of, ppm) if *of == node => faults.read_ppm = faults.read_ppm.max(*ppm),
                Trouble::Clock(of, ms) if *of == node => skew_ms += ms,
                Trouble::HashRate(of, times) if *of == node => factor = Some(*times),
                Trouble::DiskFull(of) if *of == node => disk_full = true,
                Trouble::Pause(of) if *of == node => paused = true,
                Trouble::Crash(of, _) if *of == node => held = true,
                _ => {}
            }
        }
        let until_ms = self.active_faults.iter().map(|at| &self.setup.faults[*at]);
        let until_ms = until_ms.filter(|fault| fault.trouble == Trouble::Pause(node)).map(|fault| fault.until_ms).max();
        let state = &mut self.nodes[node];
        state.store.set_faults(faults);
        (state.skew_ms, state.disk_full, state.held_down) = (skew_ms, disk_full, held);
        state.paused_until_ms = if paused { until_ms.unwrap_or(0) } else { 0 };
        self.set_hash_rate(node, factor);
    }

    /// Nothing goes wrong any more: what is down starts, clocks are right, byzantine nodes are silent, and nobody
    /// submits.
    pub(crate) fn heal(&mut self) {
        self.say(|| "all faults end".to_owned());
        self.active_faults.clear();
        for node in &mut self.setup.nodes {
            node.skew_ms = 0;
        }
        self.setup.link.loss_ppm = 0;
        self.derive();
        self.quiet = true;
        for node in 0..self.nodes.len() {
            self.nodes[node].armed = None;
            if self.setup.nodes[node].byzantine {
                self.crash(node, "for good");
            } else {
                self.start(node);
            }
        }
    }
}
