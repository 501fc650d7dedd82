//! The ground: one group's durable data.
