use crate::suite::Suite;
use urban_neuron_log::kafka::KafkaLog;

use crate::{PATIENCE, config, shared_broker};

#[test]
fn a_real_kafka_passes_the_suite() {
    let broker = shared_broker();
    let open =
        |name: &str, partitions| KafkaLog::connect(config(broker, &format!("suite-{name}"), partitions));
    let record_bytes_max = config(broker, "", 1).record_bytes_max;
    Suite { open, record_bytes_max, patience: PATIENCE }.run();
}
