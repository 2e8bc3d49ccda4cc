//! The table of the quick benchmark, in Markdown.

/// The target that the others are compared with.
pub(crate) const YARDSTICK: &str = "RabbitMQ's Web-STOMP";

/// What one run has measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Deliveries, or receipts, a second.
    pub(crate) rate: f64,
    /// Microseconds of processor time for each, in the gateway.
    pub(crate) gateway: Option<f64>,
    /// And in RabbitMQ.
    pub(crate) broker: Option<f64>,
}

/// A scenario on a target.
#[derive(Debug)]
pub(crate) struct Row {
    scenario: &'static str,
    target: &'static str,
    /// One of each round.
    pub(crate) samples: Vec<Sample>,
}

impl Row {
    /// Without samples yet.
    pub(crate) const fn new(scenario: &'static str, target: &'static str) -> Self {
        Self { scenario, target, samples: Vec::new() }
    }

    fn rate(&self) -> Option<f64> {
        median(self.samples.iter().map(|sample| sample.rate))
    }

    fn gateway(&self) -> Option<f64> {
        median(self.samples.iter().filter_map(|sample| sample.gateway))
    }

    fn broker(&self) -> Option<f64> {
        median(self.samples.iter().filter_map(|sample| sample.broker))
    }

    fn sum(&self) -> Option<f64> {
        let sums = self
            .samples
            .iter()
            .map(|sample| sample.gateway.unwrap_or_default() + sample.broker.unwrap_or_default());
        median(sums)
    }
}

/// The middle one, or the mean of the two in the middle; `None` of none.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

/// The whole table.
pub(crate) fn shown(rows: &[Row]) -> String {
    let mut table = String::from(
        "| scenario | target | rate, 1/s | CPU µs: gateway | RabbitMQ | sum | rate, times Web-STOMP's | CPU, times Web-STOMP's |\n\
         |---|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let yardstick =
            rows.iter().find(|it| it.scenario == row.scenario && it.target == YARDSTICK);
        let times = |value: fn(&Row) -> Option<f64>| {
            yardstick.and_then(value).zip(value(row)).map(|(yardstick, it)| it / yardstick)
        };
        let cells = [
            row.scenario.to_owned(),
            row.target.to_owned(),
            number(row.rate(), 0),
            number(row.gateway(), 1),
            number(row.broker(), 1),
            number(row.sum(), 1),
            number(times(Row::rate), 2),
            number(times(Row::sum), 2),
        ];
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    table
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }

    #[test]
    fn targets_are_compared_within_their_scenario() {
        let row = |scenario, target, rate, gateway, broker| Row {
            samples: vec![Sample { rate, gateway, broker }],
            ..Row::new(scenario, target)
        };
        let rows = [
            row("a", "mine", 200.0, Some(1.0), Some(2.0)),
            row("a", YARDSTICK, 100.0, None, Some(6.0)),
            row("b", "mine", 7.0, Some(1.0), None),
        ];
        let shown = shown(&rows);
        let lines: Vec<&str> = shown.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| a | mine | 200 | 1.0 | 2.0 | 3.0 | 2.00 | 0.50 |",
                "| a | RabbitMQ's Web-STOMP | 100 | – | 6.0 | 6.0 | 1.00 | 1.00 |",
                "| b | mine | 7 | 1.0 | – | 1.0 | – | – |",
            ]
        );
    }
}
