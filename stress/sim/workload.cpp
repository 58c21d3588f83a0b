#include "stress/sim/workload.hpp"

#include <cstdio>

#include "actors/runtime/rng.hpp"
#include "messages/buggify.hpp"
#include "messages/datapack.hpp"
#include "messages/episode.hpp"
#include "storage/blobs.hpp"

namespace drover::simulate {
namespace {

constexpr int64_t epoch_ns = 1'704'067'200'000'000'000;  // 2024-01-01
constexpr int64_t episode_ns = 20'000'000'000;

Bytes slice_of(runtime::Rng& rng, size_t bytes) {
  return Bytes::make(bytes, [&](std::span<std::byte> out) {
    for (auto& b : out) b = static_cast<std::byte>(rng.next());
  });
}

// What was measured, in steps of 0.01, so that equal amounts of money are owed now and then.
double measured_delta(runtime::Rng& money) {
  return 0.15 + 0.01 * static_cast<double>(money.below(21));
}

std::string pack_name(const std::string& robot, uint64_t number) {
  return robot + "/episode-" + std::to_string(number);
}

void add_money(Datapack& pack, runtime::Rng& money) {
  pack.condition.price_per_unit = 0.5;
  pack.condition.occlusion_level = 0.1 * static_cast<double>(money.below(4));
  pack.attribution.delta_mpl = measured_delta(money);
  char text[96];
  std::snprintf(text, sizeof text, R"({"baseline":{"mpl_units_per_h":40},"mpl_units_per_h":%.2f})",
                40 * (1 + pack.attribution.delta_mpl));
  if (money.chance(0.8)) pack.episode_metrics_json = text;
}

Datapack pack_of(const Episode& episode, runtime::Rng& rng) {
  Datapack pack;
  pack.pack_id = episode.robot + "/" + episode.episode_id;
  pack.task_name = episode.task_name;
  pack.env_type = "simulated";
  pack.provenance.robot = episode.robot;
  pack.provenance.episode_id = episode.episode_id;
  pack.provenance.start_unix_ns = episode.start_unix_ns;
  pack.provenance.end_unix_ns = episode.end_unix_ns;
  pack.condition.task_name = episode.task_name;
  pack.condition.engine_type = "mujoco";
  pack.attribution.delta_J = rng.uniform() * 2 - 1;
  pack.attribution.trust_score = rng.uniform();
  pack.attribution.source_type = SourceType::synthetic;
  pack.bucket = pack.attribution.delta_J >= 0 ? Bucket::positive : Bucket::negative;
  if (pack.bucket == Bucket::negative) {
    pack.counterfactual_plan_json = R"({"retry":"slower"})";
    pack.counterfactual_source = "simulator";
  }
  const auto steps = rng.between(1, 4);
  for (int64_t i = 0; i < steps; ++i) {
    SkillStep step;
    step.skill_id = static_cast<int64_t>(rng.below(6));
    step.start_s = static_cast<double>(i) * 4;
    step.end_s = step.start_s + 3;
    step.outcome = rng.chance(0.8) ? "success" : "failure";
    pack.skill_trace.push_back(step);
  }
  return pack;
}

}  // namespace

namespace {

bool of_newer_kind(const std::string& robot, uint64_t number, const Work& work) {
  return work.newer_records && runtime::Rng::stream(number + (work.salt << 20), robot + " newer").chance(0.1);
}
bool poisoned(const std::string& robot, uint64_t number, const Work& work) {
  return work.poison && runtime::Rng::stream(number + (work.salt << 20), robot + " poison").chance(0.04);
}

}  // namespace

uint64_t refused_records(const std::string& robot, uint64_t number, const Work& work) {
  return (of_newer_kind(robot, number, work) ? 1 : 0) + (poisoned(robot, number, work) ? 1 : 0);
}

namespace {

void add_events(sync::StoreCapture& capture, const std::string& robot, uint64_t number, const Work& work, int64_t ns) {
  Event event;
  event.kind = "simulated";
  event.detail = robot + " " + std::to_string(number);
  if (number % 4 == 0) capture.records.push_back({RecordKind::event, ns, encode(event)});
  if (of_newer_kind(robot, number, work)) capture.records.push_back({static_cast<RecordKind>(77), ns, encode(event)});
  event.detail.append(" ").append(buggify::poison_mark);
  if (poisoned(robot, number, work)) capture.records.push_back({RecordKind::event, ns, encode(event)});
}

Outcome outcome_of(const std::string& robot, uint64_t number, int64_t time_ns, runtime::Rng& money) {
  Outcome o;
  o.pack_id = pack_name(robot, number);
  o.customer_id = econ::terms_for(books_config(), robot).customer_id;
  char text[48];
  std::snprintf(text, sizeof text, R"({"delta_mpl":%.2f})", measured_delta(money));
  o.metrics_json = text;
  o.time_unix_ns = time_ns;
  return o;
}

// Told in any order, and now and then again.
void add_outcomes(sync::StoreCapture& capture, const std::string& robot, uint64_t number, int64_t end_ns,
                  runtime::Rng& money) {
  constexpr int64_t later_ns = 3'600'000'000'000;
  std::vector<Outcome> told;
  if (money.chance(0.5)) told.push_back(outcome_of(robot, number, end_ns + later_ns, money));
  if (money.chance(0.2)) told.push_back(outcome_of(robot, number, end_ns + 2 * later_ns, money));
  if (number > 0 && money.chance(0.3)) told.push_back(outcome_of(robot, number - 1, end_ns + 3 * later_ns, money));
  if (told.size() > 1 && money.chance(0.5)) std::swap(told.front(), told.back());
  if (!told.empty() && money.chance(0.2)) told.push_back(told.front());
  for (const Outcome& o : told) capture.records.push_back({RecordKind::outcome, o.time_unix_ns, encode(o)});
}

}  // namespace

econ::ReconcileConfig books_config() {
  econ::ReconcileConfig config;
  config.prior_std = 0.2;  // quotes are worth something soon
  config.prior_weight = 1;
  config.customers = {{"*", "fleet-owner", 0.5, 100}, {"robot-1", "plant-a", 0.25, 50}};
  return config;
}

sync::StoreCapture make_episode(const std::string& robot, uint64_t number, const Work& work) {
  const size_t slice_bytes = work.slice_bytes;
  auto rng = runtime::Rng::stream(number, robot);
  auto shared = runtime::Rng::stream(number / 8, "calibration");
  const Bytes slice = slice_of(number % 8 == 7 ? shared : rng, slice_bytes);
  Episode episode;
  episode.episode_id = "episode-" + std::to_string(number);
  episode.robot = robot;
  episode.task_name = rng.chance(0.5) ? "drawer_vase" : "dish_place";
  episode.engine_type = "mujoco";
  episode.source_kind = "simulated";
  episode.source_name = "run-" + std::to_string(number / 16);
  episode.start_unix_ns = epoch_ns + static_cast<int64_t>(number) * episode_ns;
  episode.end_unix_ns = episode.start_unix_ns + episode_ns / 2;
  episode.rows = slice_bytes;
  episode.outcome = rng.chance(0.8) ? "success" : "failure";
  episode.value_per_byte = rng.uniform();
  episode.blobs = {storage::describe_blob("slice", "application/octet-stream", slice)};
  sync::StoreCapture capture;
  capture.records.push_back({RecordKind::episode, episode.end_unix_ns, encode(episode)});
  auto money = runtime::Rng::stream(number, robot + " money");
  Datapack pack = pack_of(episode, rng);
  add_money(pack, money);
  capture.records.push_back({RecordKind::datapack, episode.end_unix_ns, encode(pack)});
  add_outcomes(capture, robot, number, episode.end_unix_ns, money);
  add_events(capture, robot, number, work, episode.end_unix_ns);
  for (size_t i = 0; i < episode.blobs[0].chunks.size(); ++i)
    capture.chunks.push_back({episode.blobs[0].chunks[i].hash, Bytes::copy_of(storage::chunk_of(slice, i)),
                              episode.value_per_byte, episode.episode_id});
  capture.marks.push_back({"run", std::to_string(number)});
  return capture;
}

}  // namespace drover::simulate
