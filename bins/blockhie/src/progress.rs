//! What a waiting person sees: a bar on a terminal, a line for each change elsewhere.

use crate::output::note;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

/// How often the bar moves while nothing else does.
const TICK: Duration = Duration::from_millis(120);

/// Progress of some files.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    told: BTreeMap<String, String>,
}

impl Progress {
    /// `quiet`: only standard output counts.
    pub(crate) fn new(files: usize, quiet: bool) -> Self {
        let bar = (std::io::stderr().is_terminal() && !quiet).then(|| {
            let bar = ProgressBar::new(u64::try_from(files).unwrap_or(u64::MAX));
            let style = ProgressStyle::with_template("{spinner} {pos}/{len} final  {wide_msg}  {elapsed}");
            bar.set_style(style.expect("a test reads the template"));
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, told: BTreeMap::new() }
    }

    /// Says where a file stands, if that is new.
    pub(crate) fn tell(&mut self, name: &str, text: &str) {
        if self.told.get(name).is_some_and(|told| told == text) {
            return;
        }
        self.told.insert(name.to_owned(), text.to_owned());
        match &self.bar {
            Some(bar) => bar.set_message(format!("{name}: {text}")),
            None => note(&format!("{name}: {text}")),
        }
    }

    /// One file is final.
    pub(crate) fn done(&mut self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_template_is_one() {
        super::ProgressStyle::with_template("{spinner} {pos}/{len} final  {wide_msg}  {elapsed}").unwrap();
    }
}
