//! The commands that are clients by themselves: `rocketmq example` and `rocketmq bench`. Takes the environment and the
//! signals, hands over.

use std::io::{self, BufWriter};

use crate::base::disk::RealDisk;
use crate::base::local_time::Zone;
use crate::base::shutdown::{self, Shutdown};
use crate::{bench, example};

use super::{cli, logging, signals};

/// Runs a program of the quickstart.
pub fn run(args: &cli::Example) -> Result<(), Vec<String>> {
    let told = |error: example::ExampleError| vec![error.to_string()];
    log_warnings()?;
    match args {
        cli::Example::Producer(args) => {
            example::produce(&name_servers(args)?, &mut BufWriter::new(io::stdout().lock())).map_err(told)
        }
        cli::Example::Consumer(args) => {
            let stop = stop_on_signal()?;
            example::consume(&name_servers(args)?, stop, &mut BufWriter::new(io::stdout().lock())).map_err(told)
        }
    }
}

/// Runs a measurement.
pub fn bench(args: bench::Args) -> Result<(), Vec<String>> {
    let around = bench::Surroundings {
        name_servers: std::env::var("NAMESRV_ADDR").ok(),
        zone: Zone::load(&RealDisk, std::env::var("TZ").ok().as_deref()),
        stop: match args.what {
            bench::What::Consumer(_) => {
                log_warnings()?;
                stop_on_signal()?
            }
            // The others keep nothing that would have to be given back.
            _ => shutdown::channel().1,
        },
    };
    bench::run(args, &around).map_err(|error| vec![error.to_string()])
}

fn log_warnings() -> Result<(), Vec<String>> {
    let settings = logging::Settings { level: "warn".to_owned(), ..logging::Settings::default() };
    logging::start("client", &settings).map(drop).map_err(|problem| vec![problem])
}

fn name_servers(args: &cli::Quickstart) -> Result<Vec<String>, Vec<String>> {
    match (&args.namesrv, std::env::var("NAMESRV_ADDR")) {
        (Some(list), _) => Ok(list.0.clone()),
        (None, Ok(text)) => {
            crate::base::keys::servers(&text).map_err(|what| vec![format!("NAMESRV_ADDR={text}: {what}")])
        }
        (None, Err(_)) => Err(vec![example::ExampleError::NoServer.to_string()]),
    }
}

fn stop_on_signal() -> Result<Shutdown, Vec<String>> {
    let fail = |error: io::Error| vec![format!("taking over signals: {error}")];
    let mut signals = signals::Waiting::start().map_err(fail)?;
    let (trigger, stop) = shutdown::channel();
    let wait = move || {
        signals.wait(|| {});
        trigger.stop();
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(fail)?;
    Ok(stop)
}
