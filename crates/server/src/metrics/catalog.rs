//! What every metric means. A test holds it against the names in the sources, and prints the docs' table from it.

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric; its name ends in its unit.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: MetricKind,
    /// Label names, comma-separated.
    pub labels: &'static str,
    pub text: &'static str,
}

/// Every metric, by part.
pub const METRICS: &[Metric] = &[
    counter(
        "urban_neuron_received_messages_total",
        "source",
        "Messages received, counted in children: received = logged + dead_lettered + refused + in_flight + abandoned.",
    ),
    counter(
        "urban_neuron_logged_messages_total",
        "source",
        "Messages that became durable: telemetry, and commands on alerts.",
    ),
    counter(
        "urban_neuron_dead_lettered_messages_total",
        "source",
        "Messages that became durable dead letters.",
    ),
    counter("urban_neuron_refused_messages_total", "source", "Messages turned away visibly before decode."),
    gauge("urban_neuron_in_flight_messages", "source", "Messages appended and not durable yet."),
    counter(
        "urban_neuron_abandoned_messages_total",
        "source",
        "Messages whose connection or log ended before they were durable; nobody was told otherwise.",
    ),
    gauge("urban_neuron_mqtt_endpoint_connections", "", "Connections now."),
    gauge("urban_neuron_mqtt_endpoint_connections_limit", "", "Their limit, mqtt.endpoint.connections_max."),
    gauge("urban_neuron_mqtt_endpoint_sessions", "", "Persistent sessions, connected or not."),
    gauge("urban_neuron_mqtt_endpoint_sessions_limit", "", "Their limit, mqtt.endpoint.sessions_max."),
    counter("urban_neuron_mqtt_endpoint_received_messages_total", "qos", "PUBLISH packets taken."),
    counter("urban_neuron_mqtt_endpoint_acknowledged_messages_total", "", "PUBACK and PUBREC sent."),
    counter(
        "urban_neuron_mqtt_endpoint_refused_messages_total",
        "",
        "PUBLISH packets answered with a refusal.",
    ),
    counter(
        "urban_neuron_mqtt_endpoint_abandoned_messages_total",
        "",
        "PUBLISH packets whose connection ended before they were durable.",
    ),
    gauge(
        "urban_neuron_mqtt_endpoint_in_flight_messages",
        "",
        "PUBLISH packets taken and not acknowledged yet.",
    ),
    gauge(
        "urban_neuron_mqtt_endpoint_receive_maximum_messages",
        "",
        "The limit of those of one connection, mqtt.endpoint.receive_maximum.",
    ),
    gauge("urban_neuron_mqtt_endpoint_partial_bytes", "", "Bytes of unfinished packets."),
    gauge(
        "urban_neuron_mqtt_endpoint_partial_limit_bytes",
        "",
        "Their limit, mqtt.endpoint.partial_bytes_max.",
    ),
    histogram(
        "urban_neuron_mqtt_endpoint_ack_seconds",
        "",
        "From the arrival of a PUBLISH to its acknowledgement.",
    ),
    counter(
        "urban_neuron_mqtt_endpoint_closed_connections_total",
        "reason",
        "Connections that ended, by why.",
    ),
    counter(
        "urban_neuron_mqtt_endpoint_refused_connections_total",
        "reason",
        "Connections that were not accepted, by why.",
    ),
    counter(
        "urban_neuron_coap_received_messages_total",
        "type",
        "CoAP requests taken, a body in blocks once; by con or non.",
    ),
    counter(
        "urban_neuron_coap_answered_messages_total",
        "",
        "CoAP requests answered once they were durable.",
    ),
    counter(
        "urban_neuron_coap_refused_messages_total",
        "code",
        "CoAP requests turned away before decode, by the response.",
    ),
    counter(
        "urban_neuron_coap_repeated_messages_total",
        "",
        "CoAP requests that had been seen before: answered as the first, and no second event.",
    ),
    counter(
        "urban_neuron_coap_separate_answers_total",
        "",
        "CoAP answers that came apart, durability being slow.",
    ),
    counter("urban_neuron_coap_malformed_datagrams_total", "", "Datagrams that are no CoAP message."),
    counter(
        "urban_neuron_coap_unsent_datagrams_total",
        "",
        "CoAP answers that the kernel did not take; the client asks again.",
    ),
    histogram("urban_neuron_coap_answer_seconds", "", "From the arrival of a CoAP request to its answer."),
    gauge("urban_neuron_coap_in_flight_messages", "", "CoAP requests that wait to be durable."),
    gauge("urban_neuron_coap_in_flight_limit_messages", "", "The limit of one thread, coap.in_flight_max."),
    gauge("urban_neuron_coap_exchanges", "", "CoAP exchanges that are remembered."),
    gauge("urban_neuron_coap_exchanges_limit", "", "The limit of one thread, coap.exchanges_max."),
    gauge("urban_neuron_coap_upload_bytes", "", "Bytes of unfinished uploads in blocks."),
    gauge("urban_neuron_coap_upload_limit_bytes", "", "The limit of one thread, coap.upload_bytes_max."),
    counter(
        "urban_neuron_mqtt_subscriber_received_messages_total",
        "broker, qos",
        "Messages taken from a broker.",
    ),
    counter(
        "urban_neuron_mqtt_subscriber_acknowledged_messages_total",
        "broker",
        "Messages acknowledged to a broker.",
    ),
    counter(
        "urban_neuron_mqtt_subscriber_refused_messages_total",
        "broker",
        "Messages that could not be taken.",
    ),
    counter(
        "urban_neuron_mqtt_subscriber_abandoned_messages_total",
        "broker",
        "Messages whose connection ended before they were durable; the broker sends them again.",
    ),
    gauge(
        "urban_neuron_mqtt_subscriber_in_flight_messages",
        "broker",
        "Messages taken and not acknowledged yet.",
    ),
    gauge("urban_neuron_mqtt_subscriber_in_flight_limit_messages", "broker", "Their limit, in_flight_max."),
    counter("urban_neuron_mqtt_subscriber_reconnects_total", "broker", "Connections lost and opened again."),
    gauge("urban_neuron_mqtt_subscriber_connected", "broker", "1 while connected."),
    gauge("urban_neuron_mqtt_subscriber_refused_filters", "broker", "Topic filters that the broker refuses."),
    counter(
        "urban_neuron_alert_board_published_messages_total",
        "",
        "Alerts handed to MQTT subscribers of the endpoint.",
    ),
    gauge("urban_neuron_alert_board_retained_messages", "", "Retained alerts: what fires now."),
    gauge("urban_neuron_alert_board_retained_limit_messages", "", "Their limit."),
    counter(
        "urban_neuron_alert_board_not_retained_messages_total",
        "",
        "Alerts that were sent but not retained, the limit being reached.",
    ),
    gauge("urban_neuron_alert_publisher_connected", "", "1 while connected to the broker of alerts.mqtt."),
    counter("urban_neuron_alert_publisher_messages_total", "", "Messages sent to it, clears included."),
    gauge(
        "urban_neuron_log_lag_records",
        "consumer, log_partition",
        "Records between a consumer and the log's end.",
    ),
    gauge("urban_neuron_log_disk_bytes", "topic", "Segment files of the embedded log."),
    gauge("urban_neuron_log_disk_limit_bytes", "topic", "Their limit, log.bytes_max."),
    gauge("urban_neuron_log_segment_files", "topic", "How many there are."),
    gauge(
        "urban_neuron_log_tail_bytes",
        "topic",
        "Durable batches of the embedded log that readers take from memory.",
    ),
    gauge("urban_neuron_log_tail_limit_bytes", "topic", "Their limit."),
    gauge(
        "urban_neuron_log_clock_ahead_seconds",
        "topic",
        "How far the embedded log's clock is ahead of the wall clock.",
    ),
    gauge("urban_neuron_lake_position", "log_partition", "First offset that has not landed."),
    counter("urban_neuron_lake_messages_total", "", "Messages whose rows have landed."),
    counter("urban_neuron_lake_rows_total", "", "Rows landed, one a reading."),
    counter("urban_neuron_lake_files_total", "", "Files published."),
    counter("urban_neuron_lake_commits_total", "", "Ranges committed."),
    histogram("urban_neuron_lake_commit_seconds", "", "From the end of a range to its publication."),
    counter("urban_neuron_lake_repeats_total", "", "Messages that the repeat window knew: no row."),
    counter(
        "urban_neuron_lake_undecodable_records_total",
        "",
        "Records that do not parse, copied to the dead letters.",
    ),
    gauge("urban_neuron_lake_open_bytes", "", "Bytes of rows in memory."),
    gauge("urban_neuron_lake_open_bytes_max", "", "Their limit, lake.memory_bytes_max."),
    gauge("urban_neuron_rules_position", "log_partition", "First offset that is not evaluated."),
    counter("urban_neuron_rules_evaluated_messages_total", "", "Messages evaluated."),
    counter("urban_neuron_rules_repeats_total", "", "Messages that the repeat window knew: not evaluated."),
    counter("urban_neuron_rules_undecodable_records_total", "", "Records that do not parse."),
    gauge("urban_neuron_rules_loaded", "", "Rules in the files as last loaded."),
    gauge(
        "urban_neuron_rules_broken",
        "",
        "1 while the rule files do not load and older rules stay in force.",
    ),
    counter("urban_neuron_rules_reload_errors_total", "", "Reloads that failed."),
    gauge("urban_neuron_registry_devices", "", "Devices in the registry as last loaded."),
    gauge(
        "urban_neuron_registry_broken",
        "",
        "1 while the registry does not load and an older one stays in force.",
    ),
    counter("urban_neuron_registry_reload_errors_total", "", "Loads of the registry that failed."),
    gauge(
        "urban_neuron_rules_unmatched",
        "",
        "Rules whose `where` matches no registered device, as last loaded; the log names each.",
    ),
    counter(
        "urban_neuron_rules_late_readings_total",
        "log_partition",
        "Readings older than the one in place: they land and change nothing.",
    ),
    counter(
        "urban_neuron_rules_not_in_place_readings_total",
        "log_partition",
        "Readings without a value, or without the unit of their metric.",
    ),
    counter(
        "urban_neuron_rules_over_limit_readings_total",
        "log_partition",
        "Readings of devices or series past devices_max and series_max: not evaluated.",
    ),
    counter(
        "urban_neuron_rules_window_overflow_readings_total",
        "log_partition",
        "Readings that left a window early, window_readings_max being reached.",
    ),
    gauge("urban_neuron_rules_devices", "log_partition", "Devices that the evaluator knows."),
    gauge("urban_neuron_rules_series", "log_partition", "Series, one a device and metric."),
    gauge(
        "urban_neuron_rules_states",
        "log_partition",
        "Rules pending, firing or clearing, each on a device.",
    ),
    gauge(
        "urban_neuron_rules_outdated",
        "",
        "1 while the files stand for an older rule set than the one in force.",
    ),
    counter(
        "urban_neuron_rules_replay_mismatches_total",
        "",
        "Alerts that a restart did not say again as they stand in the log: an operator must look.",
    ),
    gauge(
        "urban_neuron_repeat_window_seconds",
        "log_partition",
        "How far back a redelivery is recognized now.",
    ),
    counter("urban_neuron_alerts_total", "event, severity", "Alert events said."),
    counter(
        "urban_neuron_shadow_alerts_total",
        "event, severity",
        "Alert events of shadow rules, said on alerts.shadow.v1 only.",
    ),
    counter(
        "urban_neuron_alert_commands_total",
        "outcome",
        "People's commands on alerts, by what became of them: done, repeat, passed_on to their log partition, refused.",
    ),
    histogram(
        "urban_neuron_sensor_to_alert_seconds",
        "",
        "From the first byte of a message to its alert at the subscribers.",
    ),
];

const fn counter(name: &'static str, labels: &'static str, text: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels, text }
}

const fn gauge(name: &'static str, labels: &'static str, text: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, text }
}

const fn histogram(name: &'static str, labels: &'static str, text: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram, labels, text }
}
