//! Servers started for a while: each announces its address on stdout, and ends with us.

use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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
    /// Starts it, its log in a file, and waits for the line `ready listen=ADDRESS …`.
    pub(crate) fn start(program: &Path, arguments: &[impl AsRef<OsStr>], log: &Path) -> Result<Self> {
        let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let file = std::fs::File::create(log).with_context(|| format!("create {}", log.display()))?;
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

/// Stops them in this order, each by SIGTERM to its process.
pub(crate) fn stop_all(servers: Vec<Running>) -> Result<()> {
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
