// JSON Schemas of Drover's own topics, for tools that show them (Foxglove needs one per topic).
#include "actors/capture/recording_json.hpp"

namespace drover::capture::recording_json {
namespace {

constexpr std::string_view episode_text = R"({
"title": "drover.Episode", "description": "phase start: what is recorded; phase end: what came of it. SI units.",
"type": "object", "required": ["phase"],
"properties": {
"phase": {"type": "string", "enum": ["start", "end"]}, "version": {"type": "integer"},
"robot": {"type": "string"}, "task_name": {"type": "string"}, "world": {"type": "string"},
"engine": {"type": "string"}, "policy": {"type": "string"}, "start_unix_ns": {"type": "integer"},
"timestep_s": {"type": "number"}, "control_period_s": {"type": "number"},
"condition": {"type": "object", "properties": {"set": {"type": "string"}, "seed": {"type": "string"},
"numbers": {"type": "object"}, "choices": {"type": "object"}}},
"joints": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"},
"limb": {"type": "string"}, "effector": {"type": "string"}, "copper_W_per_Nm2": {"type": "number"},
"sliding": {"type": "boolean"}}}},
"cameras": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"},
"link": {"type": "string"}, "in_link": {"type": "object"}, "fovy_deg": {"type": "number"},
"width": {"type": "integer"}, "height": {"type": "integer"}, "rate_hz": {"type": "number"}}}},
"t": {"type": "number"}, "complete": {"type": "boolean"}, "stop_reason": {"type": "string"},
"outcome": {"type": "string"}, "template": {"type": "string"}, "failure_reason": {"type": "string"},
"units": {"type": "number"}, "attempts": {"type": "number"}, "errors": {"type": "number"},
"progress": {"type": "number"}, "safety_violated": {"type": "boolean"}, "control_steps": {"type": "integer"},
"state_hash": {"type": "string"}}})";

constexpr std::string_view skill_text = R"({
"title": "drover.Skill", "description": "A skill begins or ends; times in seconds since the episode began.",
"type": "object", "required": ["t", "phase", "skill_id", "name", "start_s"],
"properties": {
"t": {"type": "number"}, "phase": {"type": "string", "enum": ["begin", "end"]}, "skill_id": {"type": "integer"},
"name": {"type": "string"}, "manoeuvre": {"type": "string"},
"kind": {"type": "string", "enum": ["skill", "retry", "recovery"]}, "start_s": {"type": "number"},
"end_s": {"type": "number"}, "outcome": {"type": "string"}, "reason": {"type": "string"}}})";

constexpr std::string_view event_text = R"({
"title": "drover.Event", "type": "object", "required": ["t", "kind"],
"properties": {
"t": {"type": "number"}, "kind": {"type": "string"},
"severity": {"type": "string", "enum": ["info", "warning", "error"]}, "detail": {"type": "string"},
"origin": {"type": "string", "enum": ["world", "policy"]}}})";

constexpr std::string_view energy_text = R"({
"title": "drover.Energy",
"description": "Joules since the episode began: work abs(torque*velocity) and copper loss, per skill and joint.",
"type": "object", "required": ["t", "mechanical_J", "copper_J", "skills"],
"properties": {
"t": {"type": "number"}, "seconds": {"type": "number"}, "peak_W": {"type": "number"},
"mechanical_J": {"type": "number"}, "copper_J": {"type": "number"},
"skills": {"type": "array", "items": {"type": "object", "properties": {"skill_id": {"type": "integer"},
"mechanical_J": {"type": "array", "items": {"type": "number"}},
"copper_J": {"type": "array", "items": {"type": "number"}}}}}}})";

constexpr std::string_view scene_text = R"({
"title": "drover.Scene", "description": "Where the objects are (world frame, m) and how much of each is hidden (0..1).",
"type": "object", "required": ["t", "objects"],
"properties": {
"t": {"type": "number"},
"objects": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"},
"parent": {"type": "string"}, "pose": {"type": "object", "properties": {
"position_m": {"type": "array", "items": {"type": "number"}},
"rotation_wxyz": {"type": "array", "items": {"type": "number"}}}}, "occluded": {"type": "number"}}}}}})";

constexpr std::string_view sense_text = R"({
"title": "drover.Sense", "description": "What the robot itself senses: its tool and what its camera makes of things.",
"type": "object", "required": ["t"],
"properties": {
"t": {"type": "number"}, "tool": {"type": "object", "properties": {
"position_m": {"type": "array", "items": {"type": "number"}},
"rotation_wxyz": {"type": "array", "items": {"type": "number"}}}},
"tool_force_N": {"type": "array", "items": {"type": "number"}},
"sights": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"},
"visible": {"type": "boolean"}, "kind": {"type": "string"},
"position_m": {"type": "array", "items": {"type": "number"}}, "tilt_rad": {"type": "number"},
"extension_m": {"type": "number"}}}}}})";

constexpr std::string_view contacts_text = R"({
"title": "drover.Contacts", "type": "object", "required": ["t", "contacts"],
"properties": {
"t": {"type": "number"},
"contacts": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"},
"b": {"type": "string"}, "force_N": {"type": "number"},
"point_m": {"type": "array", "items": {"type": "number"}}}}}}})";

}  // namespace

std::string_view schema_text(std::string_view name) noexcept {
  if (name == "drover.Episode") return episode_text;
  if (name == "drover.Skill") return skill_text;
  if (name == "drover.Event") return event_text;
  if (name == "drover.Energy") return energy_text;
  if (name == "drover.Scene") return scene_text;
  if (name == "drover.Sense") return sense_text;
  if (name == "drover.Contacts") return contacts_text;
  return {};
}

}  // namespace drover::capture::recording_json
