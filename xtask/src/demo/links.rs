//! A link between a record and the device of one person: made, proved, refuted.

use super::{Demo, LINK_WINDOW_S, Servers};
use crate::system::text;
use anyhow::{Result, ensure};
use std::path::PathBuf;

/// How long the doctor may be shown it.
const DAYS: &str = "30";

impl Demo {
    fn link_folder(&self) -> PathBuf {
        self.dir.join("link")
    }

    /// Makes it; the person is both the device's owner and whom the record is for.
    pub(super) fn link(&self, commitment: &str, servers: &Servers) -> Result<()> {
        println!(
            "its two halves go out at times of their own in the next window of {LINK_WINDOW_S} s (--link-window \
             {LINK_WINDOW_S}; a gateway's default is an hour, so that nobody pairs them by time)"
        );
        let (url, person, out) = (servers.url(), text(&self.people.person)?, self.link_folder());
        let ends = ["--record", commitment, "--device", &self.people.device_public];
        let signers = ["--owner", person, "--holder", person];
        let terms = ["--audience", &self.people.doctor_public, "--expires-in", DAYS];
        let rest = ["--gateway", &url, "--out", text(&out)?];
        self.show(&[&["link", "create"][..], &ends, &signers, &terms, &rest].concat())?;
        self.step("the record and the device are linked, for one doctor and 30 days: final on both chains");
        Ok(())
    }

    fn verify_arguments_of_link<'a>(&'a self, folder: &'a str, audience: &'a str) -> Result<[&'a str; 10]> {
        let (emr, phd) = (text(self.emr.genesis())?, text(self.phd.genesis())?);
        let genesis = ["--emr-genesis", emr, "--phd-genesis", phd];
        let [a, b, c, d] = genesis;
        Ok(["link", "verify", "--dir", folder, a, b, c, d, "--audience", audience])
    }

    /// Proves it to the doctor.
    pub(super) fn verify_link(&self) -> Result<()> {
        let folder = self.link_folder();
        let arguments = self.verify_arguments_of_link(text(&folder)?, &self.people.doctor_public)?;
        print!("{}", self.check(0, &arguments)?);
        self.step("the link is proved offline, to the doctor it is for");
        Ok(())
    }

    /// Shown to somebody else it must not pass.
    pub(super) fn refute_audience(&self) -> Result<()> {
        let folder = self.link_folder();
        let arguments = self.verify_arguments_of_link(text(&folder)?, &self.people.stranger_public)?;
        let printed = self.check(1, &arguments)?;
        ensure!(printed.contains("audience"), "expected the audience to be named, got\n{printed}");
        self.step("the same link shown to somebody else is refuted (exit 1)");
        Ok(())
    }
}
