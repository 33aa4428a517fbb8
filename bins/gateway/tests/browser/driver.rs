//! As much of the WebDriver protocol as the walk needs, spoken to a chromedriver. The libraries for it bring a licence
//! that `deny.toml` does not allow, or a second HTTP client with all its tree; the protocol itself is a few posts of JSON.

use base64::Engine;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
/// How often something awaited is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(60);
/// Key of an element's id in the protocol's answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The two programs.
pub(crate) struct Programs {
    chromium: PathBuf,
    chromedriver: PathBuf,
}

impl Programs {
    /// From the environment; `None` where they are not named.
    pub(crate) fn named() -> Option<Self> {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
        Some(Self { chromium: path("BLOCKHIE_CHROMIUM")?, chromedriver: path("BLOCKHIE_CHROMEDRIVER")? })
    }
}

/// A browser with one page, and the driver behind it.
pub(crate) struct Browser {
    driver: Child,
    agent: ureq::Agent,
    session: String,
    base: String,
    screens: PathBuf,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a headless browser for the pages below `base`.
    pub(crate) fn start(programs: &Programs, base: &str, screens: &Path) -> Self {
        std::fs::create_dir_all(screens).unwrap();
        let mut driver = Command::new(&programs.chromedriver)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", programs.chromedriver.display()));
        let port = port_of(&mut driver);
        let profile = tempfile::tempdir().unwrap();
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        let arguments = [
            "--headless=new",
            // There is no sandbox for root, as whom CI runs; the pages are our own.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": programs.chromium, "args": arguments},
        }}});
        let url = format!("http://127.0.0.1:{port}/session");
        let answer = post(&agent, &url, &capabilities);
        let session = format!("{url}/{}", answer["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}")));
        let (base, screens) = (base.to_owned(), screens.to_owned());
        let browser = Self { driver, agent, session, base, screens, _profile: profile };
        browser.size(1280, 800);
        browser
    }

    fn call(&self, command: &str, body: &Value) -> Value {
        post(&self.agent, &format!("{}/{command}", self.session), body)
    }

    /// The page's own size, whatever the window has around it.
    pub(crate) fn size(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.call("goog/cdp/execute", &json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics}));
    }

    /// Goes to a path and checks what every page has to have.
    pub(crate) fn go(&self, path: &str) {
        self.call("url", &json!({"url": format!("{}{path}", self.base)}));
        self.check_page(path);
    }

    /// Runs a function's body in the page.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.call("execute/sync", &json!({"script": script, "args": []}))
    }

    /// The text of the page as it is seen.
    pub(crate) fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// The path that the page is at.
    pub(crate) fn path(&self) -> String {
        self.run("return location.pathname + location.search").as_str().unwrap_or_default().to_owned()
    }

    fn element(&self, selector: &str) -> String {
        let mut found = None;
        self.until(selector, || {
            let answer = self.call("elements", &json!({"using": "css selector", "value": selector}));
            found = answer[0][ELEMENT].as_str().map(str::to_owned);
            found.is_some()
        });
        found.unwrap_or_default()
    }

    /// Clicks the first element that matches.
    pub(crate) fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.call(&format!("element/{element}/click"), &json!({}));
    }

    /// Types into a field; into one for a file, its path.
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.call(&format!("element/{element}/value"), &json!({"text": text}));
    }

    /// How many elements match.
    pub(crate) fn count(&self, selector: &str) -> u64 {
        self.run(&format!("return document.querySelectorAll({selector:?}).length")).as_u64().unwrap_or(0)
    }

    /// Waits until something is so.
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{what}: not in time at {}:\n{}", self.path(), self.text());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until the page says all of this.
    pub(crate) fn expect(&self, texts: &[&str]) {
        for text in texts {
            self.until(text, || self.text().contains(text));
        }
    }

    /// What any page must have, whatever it shows.
    fn check_page(&self, path: &str) {
        let faults = self.run(
            "const faults = [];
             const want = (holds, what) => { if (!holds) faults.push(what); };
             want(document.querySelectorAll('h1').length === 1, 'one h1');
             want(document.title.endsWith('BlockHIE'), 'a title');
             want(document.documentElement.lang === 'en', 'a language');
             want(document.documentElement.scrollWidth <= innerWidth, `no scrolling sideways (${document.documentElement.scrollWidth} > ${innerWidth})`);
             for (const part of document.querySelectorAll('.table-card, .scroll')) want(part.scrollWidth <= part.clientWidth, `a table that fits (${part.textContent.trim().slice(0, 40)})`);
             for (const table of document.querySelectorAll('table')) want(table.caption, 'a caption on each table');
             for (const chart of document.querySelectorAll('svg')) want(chart.getAttribute('aria-label'), 'words for each chart');
             for (const field of document.querySelectorAll('input:not([type=hidden])')) want(field.labels.length > 0 || field.ariaLabel, `a label on ${field.name}`);
             return faults;",
        );
        assert_eq!(faults, json!([]), "{path}");
    }

    /// Checks the page, and that the browser had nothing to say so far: no error, nothing that the policy stopped.
    pub(crate) fn quiet(&self) {
        self.check_page(&self.path());
        assert_eq!(self.complaints(), Vec::<Value>::new(), "at {}", self.path());
    }

    /// That the browser noted one refusal of the server since it was last asked, and nothing else.
    pub(crate) fn was_refused(&self, status: u16) {
        let told = self.complaints();
        let refusal = format!("status of {status}");
        let is_it = |entry: &Value| entry["message"].as_str().is_some_and(|text| text.contains(&refusal));
        assert!(told.len() == 1 && told.iter().all(is_it), "{told:#?}");
    }

    /// What the browser noted since it was last asked.
    fn complaints(&self) -> Vec<Value> {
        let log = self.call("se/log", &json!({"type": "browser"}));
        let entries = log.as_array().unwrap().iter();
        entries.filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING").cloned().collect()
    }

    /// Checks the page and keeps a picture of it, the whole of it where it is longer than the window.
    pub(crate) fn picture(&self, name: &str) {
        self.quiet();
        let (width, height) = (self.run("return innerWidth"), self.run("return innerHeight"));
        let whole = self.run("return Math.min(document.documentElement.scrollHeight, 4000)").as_u64().unwrap_or(800);
        let number = |value: &Value| u32::try_from(value.as_u64().unwrap_or(800)).unwrap();
        self.size(number(&width), number(&height).max(u32::try_from(whole).unwrap()));
        let answer = self.agent.get(format!("{}/screenshot", self.session)).call().unwrap();
        let answer: Value = answer.into_body().read_json().unwrap();
        let png = base64::engine::general_purpose::STANDARD.decode(answer["value"].as_str().unwrap()).unwrap();
        std::fs::write(self.screens.join(format!("{name}.png")), png).unwrap();
        self.size(number(&width), number(&height));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; the driver alone would leave it behind.
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The port that a driver says it took.
fn port_of(driver: &mut Child) -> u16 {
    let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    for line in lines {
        let line = line.unwrap();
        if let Some(port) = line.strip_prefix("ChromeDriver was started successfully on port ") {
            return port.trim_end_matches('.').parse().unwrap();
        }
    }
    panic!("the driver ended before it told its port");
}

fn post(agent: &ureq::Agent, url: &str, body: &Value) -> Value {
    let answer = agent.post(url).send_json(body).unwrap_or_else(|error| panic!("{url}: {error}"));
    let mut answer: Value = answer.into_body().with_config().limit(64 << 20).read_json().unwrap();
    let value = answer["value"].take();
    assert!(value.get("error").is_none(), "{url}: {value:#}");
    value
}
