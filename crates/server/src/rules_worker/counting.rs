//! What evaluators have counted, as metrics of their log partition: readings that changed nothing for a reason, and how
//! much is kept against the limits.

use metrics::{counter, gauge};
use rules::{Counts, Evaluator};

pub(super) fn export(log_partition: u32, evaluator: &Evaluator) {
    let label = log_partition.to_string();
    let Counts { late, not_in_place, over_limit, window_overflows, .. } = evaluator.counts();
    counter!("urban_neuron_rules_late_readings_total", "log_partition" => label.clone()).absolute(late);
    counter!("urban_neuron_rules_not_in_place_readings_total", "log_partition" => label.clone())
        .absolute(not_in_place);
    counter!("urban_neuron_rules_over_limit_readings_total", "log_partition" => label.clone())
        .absolute(over_limit);
    counter!("urban_neuron_rules_window_overflow_readings_total", "log_partition" => label.clone())
        .absolute(window_overflows);
    gauge!("urban_neuron_rules_devices", "log_partition" => label.clone()).set(evaluator.devices() as f64);
    gauge!("urban_neuron_rules_series", "log_partition" => label.clone()).set(evaluator.series() as f64);
    gauge!("urban_neuron_rules_states", "log_partition" => label).set(evaluator.states() as f64);
}
