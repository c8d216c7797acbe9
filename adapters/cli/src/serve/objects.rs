//! Arguments of `coracle serve s3://BUCKET/PREFIX`, and its store.

use std::path::Path;

use clap::Args;

/// What the address of a bucket begins with.
const SCHEME: &str = "s3://";

/// How a bucket is reached.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Buckets")]
pub struct ObjectArgs {
    /// Where the bucket's name stands in addresses [default: in the host at AWS, in the path of an AWS_ENDPOINT_URL]
    #[cfg(feature = "s3")]
    #[arg(long, value_name = "WHERE")]
    s3_style: Option<Style>,
}

#[cfg(feature = "s3")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Style {
    /// https://HOST/BUCKET/KEY
    Path,
    /// https://BUCKET.HOST/KEY
    Host,
}

/// The address of a bucket that `path` is in truth.
pub fn location(path: &Path) -> Option<&str> {
    path.to_str().filter(|path| path.starts_with(SCHEME))
}

/// Why a build without the feature does not serve `location`.
#[cfg(not(feature = "s3"))]
pub fn missing(location: &str) -> String {
    format!(
        "cannot serve {location}: this program was built without the feature 's3'; \
         'cargo install coracle-cli --features s3' makes one that has it"
    )
}

#[cfg(feature = "s3")]
mod store {
    use std::sync::{Mutex, PoisonError};
    use std::time::{Duration, Instant};

    use coracle::store::{S3Error, S3Location, S3Settings, S3Store, S3Style, S3Trouble};

    use super::{ObjectArgs, Style};
    use crate::exit::{Exit, print_error};

    /// While a service is out of order every request fails, and one line in so much time says so.
    const BETWEEN_LINES: Duration = Duration::from_secs(1);

    impl ObjectArgs {
        /// The objects at `location`, after a look at them.
        ///
        /// # Errors
        ///
        /// The location is wrong, or the objects cannot be had: how the program ends, and what it says.
        pub fn open(&self, location: &str) -> Result<S3Store, (Exit, String)> {
            let location = location.parse().map_err(|error: S3Error| (Exit::Usage, error.to_string()))?;
            let opened = self.open_at(&location);
            opened.map_err(|error| (Exit::LocalFile, format!("cannot serve {location}: {error}")))
        }

        fn open_at(&self, location: &S3Location) -> Result<S3Store, S3Error> {
            let settings = S3Settings::from_environment()?;
            let settings = match self.s3_style {
                Some(Style::Path) => settings.with_style(S3Style::Path),
                Some(Style::Host) => settings.with_style(S3Style::VirtualHost),
                None => settings,
            };
            let store = S3Store::new(location, settings)?.with_observer(observer());
            store.check()?;
            Ok(store)
        }
    }

    /// Says what failed, and of how much nothing was said before.
    fn observer() -> impl Fn(&S3Trouble<'_>) + Send + Sync + 'static {
        let last: Mutex<(Option<Instant>, u64)> = Mutex::new((None, 0));
        move |trouble| {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let (told, untold) = &mut *last;
            if told.is_some_and(|told| told.elapsed() < BETWEEN_LINES) {
                *untold += 1;
                return;
            }
            match *untold {
                0 => print_error(trouble),
                untold => print_error(format_args!("{trouble} ({untold} more failures since the line before)")),
            }
            (*told, *untold) = (Some(Instant::now()), 0);
        }
    }
}
