//! Numbers of hosts: as they are, or as a part of all.

use std::str::FromStr;

/// So many hosts, or so much of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    Hosts(usize),
    /// From 0 to 100.
    Percent(u8),
}

/// How many hosts are tried, in all, by the end of each wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waves(Vec<Amount>);

impl Amount {
    /// How many of `all` hosts it is at most.
    pub fn at_most(self, all: usize) -> usize {
        match self {
            Self::Hosts(hosts) => hosts,
            Self::Percent(percent) => all.saturating_mul(usize::from(percent)) / 100,
        }
    }

    /// How many of `all` hosts it is, at least one.
    fn at_least_one(self, all: usize) -> usize {
        let hosts = match self {
            Self::Hosts(hosts) => hosts,
            Self::Percent(percent) => all.saturating_mul(usize::from(percent)).div_ceil(100),
        };
        hosts.clamp(1, all.max(1))
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a number of hosts, or a part of all as 10%".to_owned();
        match text.strip_suffix('%') {
            Some(percent) => {
                let percent = percent.parse().ok().filter(|percent| *percent <= 100);
                percent.map(Self::Percent).ok_or_else(wrong)
            }
            None => text.parse().map(Self::Hosts).map_err(|_| wrong()),
        }
    }
}

impl Waves {
    /// How many of `all` hosts are tried by the end of each wave: ascending, the last one is all of them. A wave that would have no
    /// host is left out.
    pub fn ends(&self, all: usize) -> Vec<usize> {
        let mut ends: Vec<usize> = self.0.iter().map(|amount| amount.at_least_one(all)).collect();
        ends.dedup();
        ends
    }
}

impl Default for Waves {
    fn default() -> Self {
        Self(vec![Amount::Percent(100)])
    }
}

impl FromStr for Waves {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let amounts = text.split(',').map(|amount| amount.trim().parse()).collect::<Result<Vec<Amount>, _>>()?;
        if amounts.last() != Some(&Amount::Percent(100)) {
            return Err("the last wave is 100%, as in 1,5%,100%".to_owned());
        }
        let ascends = |pair: &[Amount]| match (pair[0], pair[1]) {
            (Amount::Hosts(one), Amount::Hosts(other)) => one < other,
            (Amount::Percent(one), Amount::Percent(other)) => one < other,
            // It depends on how many there are.
            (Amount::Hosts(_), Amount::Percent(_)) => true,
            (Amount::Percent(_), Amount::Hosts(_)) => false,
        };
        if amounts.windows(2).all(ascends)
            && !amounts.contains(&Amount::Hosts(0))
            && !amounts.contains(&Amount::Percent(0))
        {
            Ok(Self(amounts))
        } else {
            Err("each wave is larger than the one before, and counts with it, numbers before parts: 1,5%,100%"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Amount, Waves};

    #[test]
    fn amounts_are_numbers_or_parts() {
        let amount = |text: &str| text.parse::<Amount>();
        assert_eq!(amount("2"), Ok(Amount::Hosts(2)));
        assert_eq!(amount("10%").map(|amount| amount.at_most(1000)), Ok(100));
        assert_eq!(amount("10%").map(|amount| amount.at_most(9)), Ok(0));
        assert_eq!(amount("0").map(|amount| amount.at_most(9)), Ok(0));
        for wrong in ["", "%", "-1", "101%", "1.5%", "ten"] {
            assert!(amount(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn waves_count_with_those_before() {
        let ends = |text: &str, all| text.parse::<Waves>().map(|waves| waves.ends(all));
        assert_eq!(ends("1,5%,100%", 1000), Ok(vec![1, 50, 1000]));
        assert_eq!(ends("1,5%,100%", 30), Ok(vec![1, 2, 30]));
        assert_eq!(ends("1,5%,100%", 20), Ok(vec![1, 20]));
        assert_eq!(ends("1,5%,100%", 1), Ok(vec![1]));
        assert_eq!(ends("5,100%", 3), Ok(vec![3]));
        assert_eq!(Waves::default().ends(7), [7]);
        for wrong in ["", "1", "5%", "5%,1,100%", "2,1,100%", "0,100%", "0%,100%", "100%,100%", "1,,100%"] {
            assert!(wrong.parse::<Waves>().is_err(), "{wrong}");
        }
    }
}
