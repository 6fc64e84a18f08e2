//! How clusters served, over all runs of a sweep.

use serde::Serialize;
use squall_record::{Availability, Outage, Recovery};

/// How writes got through. Does not grow with the number of runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Service {
    /// For how long there was load, in nanoseconds.
    pub asked_ns: u64,
    /// How often no write got through for longer than an election timeout.
    pub outages: u64,
    /// How long those times were together, in nanoseconds.
    pub out_ns: u64,
    /// The longest of them.
    pub longest: Option<InRun<Outage>>,
    /// How many faults ended under load.
    pub faults_ended: u64,
    /// After how many of them no write got through before the load ended.
    pub not_recovered: u64,
    /// The slowest recovery of the others.
    pub slowest: Option<InRun<Recovery>>,
}

/// Something, and in which run it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InRun<T> {
    /// The run, as `scenario@seed`.
    pub run: String,
    /// What it was.
    #[serde(flatten)]
    pub what: T,
}

impl Service {
    pub(crate) fn take(&mut self, availability: &Availability, run: &str) {
        let Availability {
            asked_ns,
            outages,
            out_ns,
            longest,
            recoveries,
        } = availability;
        self.asked_ns += asked_ns;
        self.outages += outages;
        self.out_ns += out_ns;
        let known = self.longest.as_ref().map_or(0, |known| known.what.lasted());
        if let Some(outage) = longest.first().filter(|outage| outage.lasted() > known) {
            self.longest = Some(in_run(run, outage));
        }
        for recovery in recoveries {
            self.faults_ended += 1;
            let Some(took) = recovery.took else {
                self.not_recovered += 1;
                continue;
            };
            let known = self.slowest.as_ref().and_then(|known| known.what.took);
            if known.is_none_or(|known| took > known) {
                self.slowest = Some(in_run(run, recovery));
            }
        }
    }
}

fn in_run<T: Clone>(run: &str, what: &T) -> InRun<T> {
    InRun {
        run: run.to_owned(),
        what: what.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage(from: u64, to: u64) -> Outage {
        Outage {
            from,
            to,
            owed_ns: 0,
            elected: Vec::new(),
            why: Vec::new(),
        }
    }

    fn recovery(fault: &str, took: Option<u64>) -> Recovery {
        Recovery {
            fault: fault.into(),
            ended: 1,
            took,
        }
    }

    #[test]
    fn the_worst_is_kept_with_its_run_and_the_rest_is_counted() {
        let mut service = Service::default();
        let first = Availability {
            asked_ns: 100,
            outages: 2,
            out_ns: 12,
            longest: vec![outage(5, 13), outage(20, 24)],
            recoveries: vec![recovery("a", Some(3)), recovery("b", None)],
        };
        let second = Availability {
            asked_ns: 100,
            outages: 1,
            out_ns: 8,
            longest: vec![outage(5, 13)],
            recoveries: vec![recovery("c", Some(7))],
        };
        service.take(&first, "one@1");
        service.take(&second, "two@1");
        assert_eq!(
            (service.asked_ns, service.outages, service.out_ns),
            (200, 3, 20)
        );
        assert_eq!((service.faults_ended, service.not_recovered), (3, 1));
        assert_eq!(service.longest.expect("there were outages").run, "one@1");
        let slowest = service.slowest.expect("there were recoveries");
        assert_eq!(
            (slowest.run.as_str(), slowest.what.fault.as_str()),
            ("two@1", "c")
        );
    }
}
