//! How time passes on a network: messages come, everybody ticks, miners find blocks.

use super::{Message, Net, TICK_MS};
use blockhie_core::UncheckedBlock;
use blockhie_engine::Event;

impl Net {
    /// Lets time pass: messages come when they are due, and everybody ticks.
    pub fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.now_ms < end {
            let tick_at = (self.now_ms / TICK_MS + 1) * TICK_MS;
            while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= tick_at.min(end)) {
                let ((at, _), (node, message)) = entry.remove_entry();
                self.now_ms = self.now_ms.max(at);
                if self.nodes[node].paused {
                    self.held.push((node, message));
                    continue;
                }
                match message {
                    Message::Event(event) => self.event(node, *event),
                    Message::Serve { asker, request } => self.serve(node, asker, request),
                    Message::Fetch { asker, id, fetch } => self.serve_fetch(node, asker, id, &fetch),
                }
            }
            self.now_ms = tick_at.min(end);
            if self.now_ms == tick_at {
                for node in (0..self.nodes.len()).filter(|node| !self.nodes[*node].paused).collect::<Vec<_>>() {
                    self.event(node, Event::Tick);
                }
            }
        }
    }

    /// What came while nodes were paused comes to them now, one after the other.
    pub fn resume(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.paused = false);
        for (node, message) in std::mem::take(&mut self.held) {
            self.sequence += 1;
            self.queue.insert((self.now_ms, self.sequence), (node, message));
        }
    }

    /// This node's miner finds a block, if it has an order.
    pub fn mine(&mut self, node: usize) -> Option<UncheckedBlock> {
        let template = self.nodes[node].template.clone()?;
        let chain = self.genesis.chain_id();
        let start = self.random(u64::MAX);
        let nonce = blockhie_pow::seal(&template.header, &chain, start, 1 << 20).expect("an easy target");
        let member = (!self.genesis.is_open()).then_some(&self.nodes[node].secret);
        let block = template.seal(&chain, nonce, member);
        self.event(node, Event::Mined { block: block.clone() });
        Some(block)
    }

    /// About every second one of these nodes finds a block.
    pub fn run_mining(&mut self, ms: u64, miners: &[usize]) {
        let end = self.now_ms + ms;
        loop {
            let wait = 500 + self.random(1_000);
            if self.now_ms + wait > end {
                return self.run(end - self.now_ms);
            }
            self.run(wait);
            let at = usize::try_from(self.random(miners.len() as u64)).unwrap();
            self.mine(miners[at]);
        }
    }
}
