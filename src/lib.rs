//! The addon: Node-API on top of the engine.

mod binding;
