//! Servers started for a while: each announces its address on stdout, and ends with us.

use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a server to end after SIGTERM.
const STOP_TIME: Duration = Duration::from_secs(10);
/// Longest wait for an answer over HTTP.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// A server. Killed when dropped without [`stop_all`].
pub(crate) struct Running {
    child: Child,
    name: String,
    address: String,
}

impl Running {
    /// Starts it, its log appended to a file, and waits for the line `ready listen=ADDRESS …`.
    pub(crate) fn start(program: &Path, arguments: &[impl AsRef<OsStr>], log: &Path) -> Result<Self> {
        let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let file = std::fs::File::options().append(true).create(true).open(log);
        let file = file.with_context(|| format!("open {}", log.display()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).with_context(|| format!("read what {name} prints"))?;
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("listen=")).map(str::to_owned);
        let Some(address) = address else {
            drop(child.kill());
            drop(child.wait());
            let log = std::fs::read(log).unwrap_or_default();
            bail!("{name}: expected `ready listen=…`, got {line:?}\n{}", crate::process::tail(&log));
        };
        Ok(Self { child, name, address })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Its address as clients take it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// SIGKILL: no chance to finish anything.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("kill {}", self.name))?;
        self.child.wait().with_context(|| format!("wait for {}", self.name))?;
        Ok(())
    }

    /// An error if it has ended.
    pub(crate) fn ensure_alive(&mut self) -> Result<()> {
        match self.child.try_wait().with_context(|| format!("look at {}", self.name))? {
            Some(status) => bail!("{} at {} has ended: {status}", self.name, self.address),
            None => Ok(()),
        }
    }

    /// Resident memory in bytes; Linux only.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        parse_resident(&text).with_context(|| format!("{path}: expected a line `VmRSS: … kB`"))
    }

    fn stop(&mut self) -> Result<()> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().context("start kill")?;
        ensure!(sent.success(), "{}: it was gone before it was stopped", self.name);
        let started = Instant::now();
        while started.elapsed() < STOP_TIME {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "{}: {status} after SIGTERM", self.name);
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{}: still running {} s after SIGTERM", self.name, STOP_TIME.as_secs())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A command in the background. Killed when dropped before it has ended.
pub(crate) struct Background {
    child: Child,
}

impl Background {
    /// Starts it; what it prints on stdout is kept, at most the 64 KiB that a pipe holds.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start a command")?;
        Ok(Self { child })
    }

    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("look at a command")?.is_some())
    }

    /// Waits for its end: how it ended, and stdout.
    pub(crate) fn finish(&mut self) -> Result<(ExitStatus, String)> {
        let status = self.child.wait().context("wait for a command")?;
        let mut printed = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut printed).context("read what a command printed")?;
        }
        Ok((status, printed))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// Stops them in this order, each by SIGTERM to its process.
pub(crate) fn stop_all(servers: impl IntoIterator<Item = Running>) -> Result<()> {
    servers.into_iter().try_for_each(|mut server| server.stop())
}

/// The body of a GET that must answer 200.
pub(crate) fn get(address: &str, path: &str, token: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(ANSWER_TIME))?;
    let request =
        format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").context("an HTTP answer has a head")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200"), "GET {path}: expected 200, got {status}");
    // HTTP/1.0: the body ends with the connection.
    Ok(answer.split_off(end + 4))
}

#[cfg(test)]
mod tests {
    use super::parse_resident;

    #[test]
    fn resident_memory_is_read_from_the_status_file() {
        assert_eq!(parse_resident("Name:\tx\nVmRSS:\t    2048 kB\nVmData:\t 1 kB\n"), Some(2_097_152));
        assert_eq!(parse_resident("Name:\tx\n"), None);
    }
}
