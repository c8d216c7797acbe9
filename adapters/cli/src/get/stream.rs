//! Fetches files to standard output, a device or a FIFO, one behind the other.

use std::io::Write;
use std::path::Path;

use coracle::client::Error;
use coracle_core::FileName;

use super::summary::Summary;
use super::{Get, options, report};
use crate::exit::{Exit, report_failure};
use crate::progress::ProgressDisplay;

/// Writes the files to `out`, which is the device `path`, or standard output.
pub fn run(args: &Get, names: &[FileName<'_>], out: &mut dyn Write, path: Option<&Path>) -> Exit {
    let mut client = args.client_args.client();
    let display = ProgressDisplay::new(path.is_none(), args.quiet);
    let mut summary = Summary { not_tried: names.len(), ..Summary::default() };
    let mut exit = Exit::Done;
    for name in names {
        summary.not_tried -= 1;
        if let Some(newer) = args.newer {
            match client.stat(*name, None) {
                Ok(header) if !newer.includes(header.modified) => {
                    summary.not_newer += 1;
                    display.note(format_args!("{name}: not modified since then"));
                    continue;
                }
                Ok(_) => {}
                Err(error) => {
                    exit = failed(args, &display, *name, &error, &mut summary);
                    break;
                }
            }
        }
        let mut bar = display.bar(name.as_str());
        let fetched = client.get_to_writer(*name, out, &options(args), &mut bar);
        drop(bar);
        match fetched {
            Ok(fetched) => {
                summary.fetched += 1;
                summary.bytes += fetched.size;
                if let (true, Some(path)) = (args.json, path)
                    && let Err(error) = report::fetched(name.as_str(), path, &fetched)
                {
                    return report::cannot_tell(error);
                }
            }
            // The next file would be taken for the rest of one that is not whole.
            Err(error) => {
                exit = failed(args, &display, *name, &error, &mut summary);
                break;
            }
        }
    }
    match if args.json { report::summary(&summary, exit) } else { Ok(()) } {
        Ok(()) => exit,
        Err(error) => report::cannot_tell(error),
    }
}

fn failed(args: &Get, display: &ProgressDisplay, name: FileName<'_>, error: &Error, summary: &mut Summary) -> Exit {
    summary.failed += 1;
    let exit = display.suspend(|| report_failure(name.as_str(), error));
    let told = if args.json { report::failed(name.as_str(), error) } else { Ok(()) };
    told.map_or_else(report::cannot_tell, |()| exit)
}
