//! SIGHUP: the log is opened anew, the files are read again, and what can change while the process runs changes. A file
//! that cannot be used changes nothing. Everything that was found is said in the log, line by line.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::file::is_toml;
use super::logging::Log;
use super::plan::Plan;
use super::settings::{Role, Setting, Unit};
use crate::base::changes::Told;
use crate::broker::admin::config as broker_config;
use crate::broker::handles::Handles;
use crate::broker::keys::Settings;
use crate::namesrv;

/// What runs.
pub struct Running<'a> {
    /// What it was started from.
    pub plan: &'a Plan,
    /// Its log.
    pub log: &'a Log,
    /// Its name server.
    pub name_server: Option<&'a namesrv::Settings>,
    /// Its broker.
    pub broker: Option<&'a Arc<Handles>>,
    /// Where waiting is done.
    pub control: &'a Handle,
}

impl Running<'_> {
    /// Takes over a plan that was worked out again.
    pub fn reload(&self, again: Result<Plan, Vec<String>>) {
        match self.log.reopen() {
            Ok(()) => tracing::info!("reload: the log was opened anew"),
            Err(error) => tracing::error!("reload: the log cannot be opened anew: {error}"),
        }
        let checked = again.and_then(|plan| {
            let problems = plan.check();
            if problems.is_empty() { Ok(plan) } else { Err(problems) }
        });
        match checked.and_then(|wanted| self.take_over(wanted)) {
            Ok(told) if told.is_empty() => tracing::info!("reload: the settings are as they were"),
            Ok(told) => told.iter().for_each(|told| tracing::info!("reload: {told}")),
            Err(problems) => {
                problems.iter().for_each(|problem| tracing::error!("reload: {problem}"));
                tracing::error!("reload: nothing was changed");
            }
        }
    }

    fn take_over(&self, wanted: Plan) -> Result<Vec<String>, Vec<String>> {
        let mut told = Vec::new();
        // In the words of the file.
        let toml = self.plan.file.as_ref().is_some_and(|(name, _)| is_toml(Path::new(name)));
        let line = |role: Role, told: Vec<Told>| {
            let lines = told.into_iter().map(|told| if toml { as_setting(role, told) } else { told }.to_string());
            lines.collect::<Vec<_>>()
        };
        wanted.warnings.iter().filter(|warning| !self.plan.warnings.contains(*warning)).for_each(|warning| {
            tracing::warn!("reload: {warning}");
        });
        let roles = |plan: &Plan| (plan.namesrv.is_some(), plan.broker.is_some());
        if roles(&wanted) != roles(self.plan) {
            told.push("sections [namesrv] and [broker]: roles come and go with a restart".to_owned());
        }
        // The broker first: it is the one that can fail, and then nothing was changed.
        if let (Some(handles), Some(plan)) = (self.broker, wanted.broker) {
            let mut settings = Settings::new(&plan.store.root);
            (settings.broker, settings.store) = (plan.config, plan.store);
            let reloaded = self.control.block_on(broker_config::reload(handles, settings));
            told.extend(line(Role::Broker, reloaded.map_err(|problem| vec![problem])?));
        }
        if let (Some(settings), Some(plan)) = (self.name_server, &wanted.namesrv) {
            told.extend(line(Role::Namesrv, settings.reload(&plan.config)));
        }
        let log = self.log.reload(&self.plan.log, &wanted.log).map_err(|problem| vec![problem])?;
        told.extend(log);
        if self.plan.metrics != wanted.metrics {
            told.push("[metrics]: needs a restart".to_owned());
        }
        if self.plan.instance != wanted.instance {
            let limit = super::memory::size(wanted.instance.memory_limit);
            told.push(format!("instance.memory_limit={limit}: needs a restart"));
        }
        Ok(told)
    }
}

/// What became of a key, by the name of its setting and with values as a file in TOML has them.
fn as_setting(role: Role, told: Told) -> Told {
    let Some(setting) = Setting::of_key(role, &told.key).filter(|setting| setting.unit != Unit::Address) else {
        return told;
    };
    let told = Told { asked: setting.path.to_owned(), ..told };
    told.map_values(|value| setting.unit.write(&value).unwrap_or(value))
}
