//! `rocketmq doctor`: what keeps servers from starting here and clients from reaching a cluster, ranked, each with its fix.
//! Looks only; the first-day problems of RocketMQ are the list of its checks.

mod cluster;
mod machine;

use super::cli::{self, NamesrvList};

pub use machine::limits;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Something does not work.
    Problem,
    /// Something will not work under load, after a change, or for some clients.
    Warning,
    /// It was looked at.
    Fine,
}

/// What was looked at, what was found, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    rank: Rank,
    /// A name for scripts, which does not change.
    check: &'static str,
    about: String,
    found: String,
    fix: Option<String>,
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn fine(&mut self, check: &'static str, about: impl Into<String>, found: impl Into<String>) {
        self.0.push(Finding { rank: Rank::Fine, check, about: about.into(), found: found.into(), fix: None });
    }

    fn bad(
        &mut self,
        rank: Rank,
        check: &'static str,
        about: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.0.push(Finding { rank, check, about: about.into(), found: found.into(), fix: Some(fix.into()) });
    }
}

/// Runs all checks and prints what was found, the worst first. The error is the number of problems.
pub fn run(args: &cli::Doctor) -> Result<(), Vec<String>> {
    let mut findings = Findings::default();
    machine::look(&args.data, &mut findings);
    let given = args.namesrv.clone().map(Ok).or_else(|| std::env::var("NAMESRV_ADDR").ok().map(|text| text.parse()));
    match given.transpose() {
        Ok(Some(NamesrvList(name_servers))) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| vec![format!("starting the client: {error}")])?;
            let asked = cluster::Asked {
                name_servers: &name_servers,
                topic: args.topic.as_deref(),
                cluster: args.cluster.as_deref(),
            };
            runtime.block_on(cluster::look(&asked, &mut findings));
        }
        Ok(None) => findings.fine("cluster", "cluster", "not looked at: give -n or NAMESRV_ADDR"),
        Err(what) => {
            findings.bad(Rank::Problem, "environment", "NAMESRV_ADDR", what, "set it to HOST:PORT;HOST:PORT");
        }
    }
    let Findings(mut findings) = findings;
    findings.sort_by_key(|finding| finding.rank);
    match args.output {
        cli::DoctorOutput::Text => findings.iter().for_each(|finding| println!("{}", line(finding))),
        cli::DoctorOutput::Json => println!("{}", json(&findings)),
    }
    match findings.iter().filter(|finding| finding.rank == Rank::Problem).count() {
        0 => Ok(()),
        1 => Err(vec!["1 problem found".to_owned()]),
        problems => Err(vec![format!("{problems} problems found")]),
    }
}

fn line(finding: &Finding) -> String {
    let rank = match finding.rank {
        Rank::Problem => "PROBLEM",
        Rank::Warning => "warning",
        Rank::Fine => "fine",
    };
    let fix = finding.fix.as_ref().map_or_else(String::new, |fix| format!("\n         fix: {fix}"));
    format!("{rank:8} {}: {}{fix}", finding.about, finding.found)
}

fn json(findings: &[Finding]) -> serde_json::Value {
    let object = |finding: &Finding| {
        let rank = format!("{:?}", finding.rank).to_lowercase();
        serde_json::json!({ "rank": rank, "check": finding.check, "about": finding.about, "found": finding.found,
            "fix": finding.fix })
    };
    findings.iter().map(object).collect()
}
