// The configuration of the pipeline: configs/semantics/tagging.toml and trust.toml.
#include "actors/semantics/pipeline.hpp"
#include "actors/semantics/strict_toml.hpp"

namespace drover::semantics {
namespace {

class ConfigReader {
 public:
  ConfigReader(const toml::table& root, const std::string& file) : problems_(file), top_(root, "", problems_) {}

  Result<Stage2Config> read() {
    section("tagging", [&](TomlTable& t) { read_tagging(t); });
    section("ood", [&](TomlTable& t) { read_ood(t); });
    section("update", [&](TomlTable& t) { read_update(t); });
    section("invariants", [&](TomlTable& t) { read_invariants(t); });
    section("refiner", [&](TomlTable& t) { read_refiner(t); });
    section("orchestrator", [&](TomlTable& t) { read_orchestrator(t); });
    section("pipeline", [&](TomlTable& t) { read_pipeline(t); });
    top_.finish();
    DROVER_TRY(problems_.status());
    return std::move(out_);
  }

 private:
  template <class Read>
  void section(const char* name, Read read) {
    const toml::table* table = top_.table(name);
    if (table == nullptr) return;
    TomlTable fields(*table, std::string(name) + ".", problems_);
    read(fields);
    fields.finish();
  }

  void read_tagging(TomlTable& t) {
    TaggingConfig& c = out_.tagging;
    t.number("risk_high", c.risk_high, 0, 1);
    t.number("risk_critical", c.risk_critical, 0, 1);
    t.number("near_m", c.near_m, 0.001, 10);
    t.number("fast_m_per_s", c.fast_m_per_s, 0.01, 100);
    t.number("force_N", c.force_N, 0.1, 1e5);
    t.number("affordance_confidence", c.affordance_confidence, 0, 1);
    t.number("wasteful_ratio", c.wasteful_ratio, 1, 100);
    t.number("frugal_ratio", c.frugal_ratio, 0, 1);
    t.integer("recovery_steps", c.recovery_steps, 1, 100000);
    t.number("recovery_confidence", c.recovery_confidence, 0, 1);
    t.number("recovery_power_W", c.recovery_power_W, 0, 1e5);
    t.number("ood_critical", c.ood_critical, 0, 1);
    if (c.risk_critical < c.risk_high) t.problem("risk_critical", "must not be below risk_high");
    out_.invariants.ood_critical = c.ood_critical;
  }

  void read_ood(TomlTable& t) {
    OodConfig& c = out_.ood;
    t.integer("learn_episodes", c.learn_episodes, 1, 1000000000);
    t.number("percentile", c.percentile, 0.5, 1);
    t.number("prototype_radius", c.prototype_radius, 0, 2);
    t.number("prototype_share_min", c.prototype_share_min, 0, 1);
    t.integer("prototypes_max", c.prototypes_max, 1, 4096);
    t.number("detector_trust_min", c.detector_trust_min, 0, 1);
    t.number("inspect_from", c.inspect_from, 0, 1);
    out_.invariants.inspect_from = c.inspect_from;
  }

  void read_update(TomlTable& t) {
    UpdateConfig& c = out_.update;
    t.integer("affordance_successes", c.affordance_successes, 1, 1000000);
    t.integer("fragility_failures", c.fragility_failures, 1, 1000000);
    t.integer("recoveries", c.recoveries, 1, 1000000);
    t.integer("collisions", c.collisions, 1, 1000000);
    t.number("force_margin", c.force_margin, 0.01, 1);
    t.integer("gate_attempts", c.gate_attempts, 1, 1000000);
    t.number("gate_failure_share", c.gate_failure_share, 0, 1);
    t.number("gate_trust", c.gate_trust, 0, 1);
    t.integer("heuristic_samples", c.heuristic_samples, 1, 1000000);
    t.number("heuristic_step", c.heuristic_step, 0.001, 10);
    t.integer("tag_failures", c.tag_failures, 1, 1000000);
    t.integer("risk_attempts", c.risk_attempts, 1, 1000000);
    t.number("risk_step", c.risk_step, 0.001, 1);
    t.integer("pending_max", c.pending_max, 1, 1000000);
    t.integer("drain_max", c.drain_max, 1, 1000000);
    c.affordance_confidence = out_.tagging.affordance_confidence;
  }

  void read_invariants(TomlTable& t) {
    InvariantConfig& c = out_.invariants;
    t.integer("doom_loop_failures", c.doom_loop_failures, 2, 1000000);
    t.integer("unpaired_episodes", c.unpaired_episodes, 1, 1000000000);
    t.integer("streaks_max", c.streaks_max, 1, 1000000);
  }

  void read_refiner(TomlTable& t) {
    RefinerConfig& c = out_.refiner;
    t.integer("split_failures", c.split_failures, 1, 1000000);
    t.number("split_share", c.split_share, 0, 1);
    t.integer("priority_attempts", c.priority_attempts, 1, 1000000);
    t.number("priority_failure_share", c.priority_failure_share, 0, 1);
    t.number("urgent", c.urgent, 0, 1);
    t.number("risky", c.risky, 0, 1);
    t.integer("suggestions_max", c.suggestions_max, 1, 100000);
    out_.orchestrator.urgent = c.urgent;
  }

  void read_orchestrator(TomlTable& t) {
    OrchestratorConfig& c = out_.orchestrator;
    t.integer("applied_max", c.applied_max, 1, 10000000);
    t.integer("refused_max", c.refused_max, 1, 10000000);
    t.integer("deferred_max", c.deferred_max, 1, 10000000);
    t.integer("alerts_max", c.alerts_max, 1, 10000000);
  }

  void read_pipeline(TomlTable& t) {
    t.integer("decide_every", out_.decide_every, 1, 1000000);
    t.integer("refine_every", out_.refine_every, 1, 1000000);
    t.integer("trust_every", out_.trust_every, 1, 1000000);
    t.integer("pending_outcomes_max", out_.pending_outcomes_max, 1, 100000000);
    t.integer("retro_packs_max", out_.retro_packs_max, 1, 100000000);
    t.integer("econ_block_episodes", out_.econ.block_episodes, 0, 1000000);
    t.integer("retro_per_commit_max", out_.retro_per_commit_max, 0, 1000000);
  }

  TomlProblems problems_;
  TomlTable top_;
  Stage2Config out_;
};

}  // namespace

Result<Stage2Config> parse_stage2_config(std::string_view toml_text, const std::string& file) {
  DROVER_ASSIGN(const toml::table root, parse_toml(toml_text, file));
  return ConfigReader(root, file).read();
}

Result<Stage2Config> load_stage2_config(const std::string& folder) {
  const std::string path = folder + "/tagging.toml";
  DROVER_ASSIGN(const std::string text, read_config_file(path));
  DROVER_ASSIGN(Stage2Config config, parse_stage2_config(text, path));
  DROVER_ASSIGN(config.trust, load_trust_config(folder + "/trust.toml"));
  return config;
}

}  // namespace drover::semantics
