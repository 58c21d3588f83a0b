// Seeded random values of every record kind, for round trips and reference tests. Header only.
//
// Deterministic on every platform: only std::mt19937_64 and integer arithmetic, no std distributions.
// Values made with valid = true pass `validate`; with valid = false they still encode and compare equal
// after a round trip (no NaN), but break invariants freely.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "messages/bytes.hpp"
#include "messages/datapack.hpp"
#include "messages/episode.hpp"
#include "messages/knowledge.hpp"

namespace drover::test {

using Rng = std::mt19937_64;

// 0 .. bound-1; bound > 0.
inline uint64_t below(Rng& rng, uint64_t bound) {
  return rng() % bound;
}
inline bool chance(Rng& rng, uint64_t one_in) {
  return below(rng, one_in) == 0;
}
inline double unit(Rng& rng) {  // [0, 1)
  return static_cast<double>(rng() >> 11) * 0x1.0p-53;
}
inline double number(Rng& rng, double low, double high) {
  return low + (high - low) * unit(rng);
}

// Any finite double, the odd ones often.
inline double finite(Rng& rng) {
  switch (below(rng, 8)) {
    case 0:
      return 0.0;
    case 1:
      return -0.0;
    case 2:
      return std::numeric_limits<double>::denorm_min();
    case 3:
      return std::numeric_limits<double>::max();
    case 4:
      return -1.0 / 3.0;
    default:
      return number(rng, -1e6, 1e6);
  }
}

inline std::string pick(Rng& rng, const std::vector<std::string>& from) {
  return from[below(rng, from.size())];
}

// "prefix" + number; append, because g++ 12 warns falsely (-Wrestrict) about operator+ here.
inline std::string labelled(const char* prefix, uint64_t n) {
  return std::string(prefix).append(std::to_string(n));
}

// 1..20 bytes of [a-z0-9_.-].
inline std::string identifier(Rng& rng) {
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789_.-";
  std::string out;
  for (uint64_t n = 1 + below(rng, 20); n > 0; --n) out.push_back(letters[below(rng, letters.size())]);
  return out;
}

// Valid UTF-8 of 0..12 pieces: ASCII, control characters, quotes, accents, CJK, emoji.
inline std::string text(Rng& rng) {
  static const std::vector<std::string> pieces{"a",  "Z",  " ",      "\"",         "\\",           "\n",
                                               "\t", "/",  "\x01",   "\xc3\xa9",   "\xe6\xbc\xa2", "\xf0\x9f\xa4\x96",
                                               "0",  "{}", "\u2028", "energy_1.5", "</script>"};
  std::string out;
  for (uint64_t n = below(rng, 13); n > 0; --n) out += pick(rng, pieces);
  return out;
}

// JSON text of `value`.
inline std::string json_text(const std::string& value) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out = "\"";
  for (char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.append(1, '\\').append(1, c);
    } else if (byte < 0x20) {
      out.append("\\u00").append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
    } else {
      out.push_back(c);
    }
  }
  return out + "\"";
}

// One JSON object, nested up to `depth`, with numbers that doubles cannot hold; or empty text (absent).
inline std::string json_object(Rng& rng, int depth = 2) {
  std::string out = "{";
  const uint64_t n = 1 + below(rng, 4);
  for (uint64_t i = 0; i < n; ++i) {
    if (i > 0) out += ",";
    out += json_text(labelled("x_", i) + identifier(rng)) + ":";
    switch (below(rng, depth > 0 ? 9 : 7)) {
      case 0:
        out += "null";
        break;
      case 1:
        out += chance(rng, 2) ? "true" : "false";
        break;
      case 2:
        out += "18446744073709551615";
        break;
      case 3:
        out += "0.10";
        break;
      case 4:
        out += "-1e-7";
        break;
      case 5:
        out += std::to_string(rng());
        break;
      case 6:
        out += json_text(text(rng));
        break;
      case 7:
        out += "[1," + json_object(rng, depth - 1) + ",[]]";
        break;
      default:
        out += json_object(rng, depth - 1);
    }
  }
  return out + "}";
}
inline std::string maybe_json(Rng& rng) {
  return chance(rng, 3) ? std::string() : json_object(rng);
}

inline Bytes random_bytes(Rng& rng, size_t size) {
  return Bytes::make(size, [&](std::span<std::byte> target) {
    for (std::byte& b : target) b = static_cast<std::byte>(rng());
  });
}
inline Hash random_hash(Rng& rng) {
  Hash hash;
  for (std::byte& b : hash) b = static_cast<std::byte>(rng());
  return hash;
}

inline Metrics random_metrics(Rng& rng) {
  Metrics out;
  for (uint64_t n = below(rng, 4); n > 0; --n) out[identifier(rng)] = finite(rng);
  return out;
}

// Parts whose "Wh" sum to total_Wh up to rounding; empty now and then.
inline Breakdown random_breakdown(Rng& rng, double total_Wh) {
  Breakdown out;
  if (chance(rng, 4)) return out;
  const uint64_t parts = 1 + below(rng, 6);
  double left = total_Wh;
  for (uint64_t i = 0; i < parts; ++i) {
    const double part = i + 1 == parts ? left : left * unit(rng);
    Metrics& metrics = out[labelled("part_", i)];
    metrics = random_metrics(rng);
    metrics["Wh"] = part;
    left -= part;
  }
  return out;
}

inline Condition random_condition(Rng& rng) {
  Condition c;
  c.task_name = identifier(rng);
  c.engine_type = pick(rng, {"pybullet", "isaac", "ue5", "mujoco", "real"});
  c.world_id = text(rng);
  c.vase_offset_m = {finite(rng), finite(rng), finite(rng)};
  c.drawer_friction = unit(rng);
  c.lighting_profile = identifier(rng);
  c.occlusion_level = unit(rng);
  c.econ_preset = identifier(rng);
  c.price_per_unit = number(rng, 0, 100);
  c.vase_break_cost = number(rng, 0, 1000);
  c.energy_price_kWh = unit(rng);
  c.objective_vector = {unit(rng), unit(rng), unit(rng), unit(rng)};
  c.tags_json = maybe_json(rng);
  c.extra_json = maybe_json(rng);
  return c;
}

inline Attribution random_attribution(Rng& rng) {
  Attribution a;
  a.delta_mpl = number(rng, -1, 1);
  a.delta_error = number(rng, -1, 1);
  a.delta_ep = number(rng, -1, 1);
  a.delta_J = number(rng, -3, 3);
  a.trust_score = unit(rng);
  a.w_econ = number(rng, 0, 2);
  a.lambda_budget = unit(rng);
  a.source_type = static_cast<SourceType>(below(rng, 3));
  if (chance(rng, 2)) a.wm_model_id = identifier(rng);
  if (chance(rng, 2)) a.wm_horizon_used = static_cast<int64_t>(rng());
  if (chance(rng, 2)) a.wm_branch_depth = static_cast<int64_t>(below(rng, 5));
  if (chance(rng, 2)) a.wm_trust_over_horizon = std::vector<double>(below(rng, 4), unit(rng));
  if (chance(rng, 2)) a.mvd_score = number(rng, 0, 5);
  if (chance(rng, 2)) a.econ_weight_final = unit(rng);
  for (uint64_t n = below(rng, 3); n > 0; --n) a.used_in_training_runs.push_back(identifier(rng));
  a.wm_role = pick(rng, {"", "wm_train", "wm_eval", "wm_synth_source", "wm_synth_target"});
  for (uint64_t n = below(rng, 3); n > 0; --n)
    a.skill_contribs[static_cast<int64_t>(below(rng, 200))] = random_metrics(rng);
  a.extra_json = maybe_json(rng);
  return a;
}

inline Energy random_energy(Rng& rng) {
  Energy e;
  e.total_Wh = chance(rng, 5) ? 0 : number(rng, 0, 50);
  e.Wh_per_unit = number(rng, 0, 5);
  e.Wh_per_hour = number(rng, 0, 500);
  e.per_limb = random_breakdown(rng, e.total_Wh);
  e.per_skill = random_breakdown(rng, e.total_Wh);
  e.per_joint = random_breakdown(rng, e.total_Wh);
  e.per_effector = random_breakdown(rng, e.total_Wh);
  e.coordination_metrics = random_metrics(rng);
  e.limb_energy_Wh = random_metrics(rng);
  e.skill_energy_Wh = random_metrics(rng);
  e.extra_json = maybe_json(rng);
  return e;
}

inline std::vector<SkillStep> random_skill_trace(Rng& rng) {
  std::vector<SkillStep> trace;
  double at_s = 0;
  for (uint64_t n = 1 + below(rng, 6); n > 0; --n) {
    const double end_s = at_s + number(rng, 0, 10);
    trace.push_back({static_cast<int64_t>(chance(rng, 2) ? below(rng, 6) : 100 + below(rng, 3)), at_s, end_s,
                     pick(rng, {"success", "failure", "recovered", "unknown"}), maybe_json(rng)});
    at_s = end_s;
  }
  return trace;
}

inline SimaAnnotation random_sima(Rng& rng) {
  SimaAnnotation s;
  s.instruction = text(rng);
  for (uint64_t n = below(rng, 4); n > 0; --n) s.step_narrations.push_back(text(rng));
  s.sima_agent_id = identifier(rng);
  s.source_world = identifier(rng);
  for (uint64_t n = below(rng, 7); n > 0; --n) s.derived_skill_plan.push_back(static_cast<int64_t>(below(rng, 6)));
  s.extra_json = maybe_json(rng);
  return s;
}

inline void make_invalid(Rng& rng, Datapack& p) {
  switch (below(rng, 6)) {
    case 0:
      p.schema_version = "9.9";
      break;
    case 1:
      p.pack_id.clear();
      break;
    case 2:
      p.skill_trace.clear();
      break;
    case 3:
      p.attribution.trust_score = 1.5;
      break;
    case 4:
      p.energy.total_Wh = std::numeric_limits<double>::infinity();
      break;
    default:
      p.bucket = p.bucket == Bucket::positive ? Bucket::negative : Bucket::positive;
  }
}

inline Datapack random_datapack(Rng& rng, bool valid = true) {
  Datapack p;
  p.schema_version = chance(rng, 3) ? schema_version_portable : schema_version_energy;
  p.pack_id = labelled("dp-", rng()) + identifier(rng);
  p.task_name = pick(rng, {"drawer_vase", "dishwashing", "ur3_cycle"});
  p.env_type = identifier(rng);
  if (chance(rng, 2)) p.brick_id = identifier(rng);
  for (uint64_t n = below(rng, 4); n > 0; --n) p.semantic_tags.push_back(chance(rng, 2) ? text(rng) : identifier(rng));
  for (uint64_t n = below(rng, 3); n > 0; --n)
    p.energy_driver_tags.push_back(std::string("energy_driver:").append(identifier(rng)));
  p.provenance = {labelled("robot-", below(rng, 9)), identifier(rng),
                  static_cast<int64_t>(below(rng, 1'000'000'000'000)), 1'000'000'000'000, text(rng)};
  p.condition = random_condition(rng);
  p.attribution = random_attribution(rng);
  p.bucket = p.attribution.delta_J >= 0 ? Bucket::positive : Bucket::negative;
  p.energy = random_energy(rng);
  p.agent_profile_json = maybe_json(rng);
  p.episode_metrics_json = maybe_json(rng);
  p.skill_trace = random_skill_trace(rng);
  if (chance(rng, 2)) p.sima_annotation = random_sima(rng);
  p.vla_plan_json = maybe_json(rng);
  if (p.bucket == Bucket::negative || chance(rng, 4)) {
    p.counterfactual_plan_json = json_object(rng);
    p.counterfactual_source = identifier(rng);
  }
  if (p.schema_version == schema_version_portable) {
    p.scene_tracks_json = maybe_json(rng);
    p.rgb_features_json = maybe_json(rng);
    p.slice_labels_json = maybe_json(rng);
    if (chance(rng, 3)) p.raw_data_path = text(rng);
  }
  p.extra_json = maybe_json(rng);
  if (!valid) make_invalid(rng, p);
  return p;
}

inline BlobRef random_blob(Rng& rng) {
  BlobRef b;
  b.name = identifier(rng);
  b.media_type = pick(rng, {"text/csv", "application/mcap", ""});
  b.hash = random_hash(rng);
  for (uint64_t n = below(rng, 5); n > 0; --n) {
    b.chunks.push_back({random_hash(rng), static_cast<uint32_t>(below(rng, 1u << 18))});
    b.size_bytes += b.chunks.back().size_bytes;
  }
  return b;
}

inline Episode random_episode(Rng& rng, bool valid = true) {
  Episode e;
  e.episode_id = identifier(rng);
  e.robot = valid ? labelled("robot-", below(rng, 9)) : std::string();
  e.task_name = identifier(rng);
  e.engine_type = pick(rng, {"real", "mujoco"});
  e.source_kind = identifier(rng);
  e.source_name = text(rng);
  e.source_hash = random_hash(rng);
  e.start_unix_ns = static_cast<int64_t>(below(rng, 1'000'000'000'000));
  e.end_unix_ns = e.start_unix_ns + static_cast<int64_t>(below(rng, 1'000'000'000'000));
  e.cycle = static_cast<int64_t>(below(rng, 1000)) - 1;
  e.rows = rng();
  e.outcome = pick(rng, {"success", "failure", "recovered", "unknown"});
  for (uint64_t n = below(rng, 4); n > 0; --n)
    e.events.push_back({e.start_unix_ns, std::string("kind_").append(identifier(rng)),
                        pick(rng, {"info", "warning", "error"}), text(rng), number(rng, 0, 9)});
  for (uint64_t n = below(rng, 4); n > 0; --n)
    e.streams.push_back({identifier(rng), "A", rng(), below(rng, 9), finite(rng), finite(rng), finite(rng)});
  for (uint64_t n = below(rng, 3); n > 0; --n) e.blobs.push_back(random_blob(rng));
  e.complete = chance(rng, 2);
  for (uint64_t n = below(rng, 3); n > 0; --n) e.notes.push_back(text(rng));
  e.extra_json = maybe_json(rng);
  e.value_per_byte = unit(rng);
  return e;
}

inline Event random_event(Rng& rng) {
  return {static_cast<int64_t>(rng()), identifier(rng), pick(rng, {"info", "warning", "error"}), text(rng), text(rng)};
}
inline Enrichment random_enrichment(Rng& rng) {
  return {identifier(rng), identifier(rng), maybe_json(rng), static_cast<int64_t>(rng())};
}
inline Outcome random_outcome(Rng& rng) {
  return {identifier(rng), identifier(rng), maybe_json(rng), static_cast<int64_t>(rng())};
}
inline Receipt random_receipt(Rng& rng) {
  return {static_cast<int64_t>(rng()),
          "chunk",
          random_hash(rng),
          rng(),
          "quota",
          unit(rng),
          identifier(rng),
          chance(rng, 2)};
}
inline Knowledge random_knowledge(Rng& rng) {
  Knowledge k;
  k.version = 1 + below(rng, 1000);
  k.created_unix_ns = static_cast<int64_t>(rng() >> 1);
  k.author = identifier(rng);
  for (uint64_t n = below(rng, 4); n > 0; --n) k.documents[identifier(rng)] = random_bytes(rng, below(rng, 300));
  return k;
}

}  // namespace drover::test
