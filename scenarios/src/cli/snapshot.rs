//! `squall snapshot`: backups, as `Maintenance.Snapshot` streams them.

use super::console::Console;
use super::{Complaint, Format};
use crate::rundir::said;
use serde::Serialize;
use squall_api::{Config, Disk};
use squall_ci::Exit;
use squall_server::FileDisk;
use squall_store::{RestoreError, RestoreOptions, backup_status, restore};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to do with a backup.
#[derive(Debug, clap::Args)]
pub(super) struct SnapshotArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Verify a backup, and show what it holds
    Status {
        /// The backup: all blobs of `Maintenance.Snapshot`, in order
        file: PathBuf,
    },
    /// Make the data directory of one member of a new cluster from a backup
    ///
    /// Every first member of the new cluster is restored from the same backup
    /// with the same settings, but for its own id.
    Restore(RestoreArgs),
}

#[derive(Debug, clap::Args)]
struct RestoreArgs {
    /// The backup
    file: PathBuf,

    /// Where the new member's data goes: must be empty, or not there yet
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// The new cluster's id: any that no cluster has, least of all the old one
    #[arg(long, value_name = "ID")]
    cluster: u64,

    /// The new member's id
    #[arg(long, value_name = "ID", default_value_t = 1)]
    member: u64,

    /// The ids of all first members of the new cluster [default: the new member's]
    #[arg(long, value_name = "ID,..", value_delimiter = ',')]
    voters: Vec<u64>,

    /// Raise the revision by this much, past all that clients may have seen
    #[arg(long, value_name = "N", default_value_t = 0)]
    bump_revision: u64,

    /// Compact all history, so that who watched the old cluster begins anew
    #[arg(long)]
    mark_compacted: bool,
}

#[derive(Serialize)]
struct Status {
    cluster: u64,
    version: Option<String>,
    revision: i64,
    compact_revision: i64,
    changes: u64,
    rows: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Restored {
    data_dir: PathBuf,
    cluster: u64,
    member: u64,
    voters: Vec<u64>,
}

pub(super) fn snapshot(
    args: &SnapshotArgs,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Complaint> {
    match &args.what {
        What::Status { file } => status(file, format, console),
        What::Restore(args) => restored(args, format, console),
    }
}

fn status(file: &Path, format: Format, console: &mut Console<'_>) -> Result<Exit, Complaint> {
    let backup = read(file)?;
    let status = backup_status(&backup).map_err(|e| bad(file, &e))?;
    let status = Status {
        cluster: status.cluster,
        version: status.version.map(|version| version.short()),
        revision: status.revision,
        compact_revision: status.compact_revision,
        changes: status.changes,
        rows: status.rows,
        bytes: status.bytes,
    };
    match format {
        Format::Json => console.json(&status)?,
        Format::Human => {
            let compacted = match status.compact_revision {
                ..0 => "never".to_owned(),
                revision => format!("up to revision {revision}"),
            };
            console.print(&format!(
                "cluster    {:x}\nversion    {}\nrevision   {}\ncompacted  {compacted}\nchanges    \
                 {}\nrows       {}\nbytes      {}\n",
                status.cluster,
                status.version.as_deref().unwrap_or("unknown"),
                status.revision,
                status.changes,
                status.rows,
                status.bytes
            ));
        }
    }
    Ok(Exit::Pass)
}

fn restored(
    args: &RestoreArgs,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Complaint> {
    let backup = read(&args.file)?;
    // Before anything is created.
    let status = backup_status(&backup).map_err(|e| bad(&args.file, &e))?;
    if status.cluster == args.cluster {
        return Err(Complaint::usage(format!(
            "{} is the id of the cluster that the backup was taken from: its members could join \
             the new one by mistake, so choose another",
            args.cluster
        )));
    }
    let voters = match args.voters.is_empty() {
        true => vec![args.member],
        false => args.voters.clone(),
    };
    let cfg = Config::new(args.cluster, args.member, voters.clone());
    cfg.validate().map_err(Complaint::usage)?;
    let dir = &args.data_dir;
    let named = |e: std::io::Error| Complaint::usage(format!("{}: {}", dir.display(), said(&e)));
    match fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            return Err(Complaint::usage(format!(
                "{} is not empty: nothing is overwritten, name another directory",
                dir.display()
            )));
        }
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(named(e)),
        _ => {}
    }
    let disk = FileDisk::open(dir, |_, _| {}).map_err(named)?;
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let options = RestoreOptions {
        bump_revision: args.bump_revision,
        mark_compacted: args.mark_compacted,
        ..RestoreOptions::default()
    };
    restore(&disk, &cfg, &backup, options).map_err(|e| bad(&args.file, &e))?;
    match format {
        Format::Json => console.json(&Restored {
            data_dir: dir.clone(),
            cluster: args.cluster,
            member: args.member,
            voters,
        })?,
        Format::Human => console.print(&format!(
            "{}: member {} of cluster {:x}, with voters {voters:?}\n",
            dir.display(),
            args.member,
            args.cluster
        )),
    }
    Ok(Exit::Pass)
}

fn read(file: &Path) -> Result<Vec<u8>, Complaint> {
    fs::read(file).map_err(|e| Complaint::usage(format!("{}: {}", file.display(), said(&e))))
}

fn bad(file: &Path, error: &RestoreError) -> Complaint {
    Complaint::usage(format!("{}: {error}", file.display()))
}
