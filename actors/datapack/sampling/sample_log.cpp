#include "actors/datapack/sampling/sample_log.hpp"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace drover::sampling {
namespace {

using json = nlohmann::ordered_json;

// Floats in the facts are shown as they were meant: 0.9, not 0.8999999762.
double shown(double value) {
  return std::round(value * 1e6) / 1e6;
}
double shown(float value) {
  return shown(static_cast<double>(value));
}

json tiers_json(const auto& tiers) {
  json out = json::array();
  for (const auto n : tiers) out.push_back(n);
  return out;
}

json groups_json(const SamplingConfig& config, const auto& counts) {
  json out = json::object();
  for (size_t i = 0; i < counts.size() && i < config.groups.size(); ++i) out[config.groups[i].name] = counts[i];
  return out;
}

json population_json(const SamplingConfig& config, const Population& p) {
  json out = {{"packs", p.packs}, {"zero_weight", p.zero_weight}, {"gated", p.gated}, {"rule_of_thumb", p.unvalued}};
  json excluded = json::object();
  for (size_t i = 1; i < p.excluded.size(); ++i)
    if (p.excluded[i] > 0) excluded[std::string(exclusion_name(static_cast<Exclusion>(i)))] = p.excluded[i];
  out["excluded"] = excluded;
  out["tiers"] = tiers_json(p.tiers);
  out["groups"] = groups_json(config, p.groups);
  return out;
}

json trust_json(const TagTrust& trust) {
  json out = {{"origin", trust.origin}};
  json tags = json::object();
  for (size_t i = 0; i < tag_kinds.size(); ++i)
    if (trust.kinds[i].tier != TagTier::unknown)
      tags[std::string(tag_kinds[i])] = {{"trust", shown(trust.kinds[i].trust)},
                                         {"tier", tag_tier_name(trust.kinds[i].tier)},
                                         {"multiplier", trust.kinds[i].multiplier}};
  out["tags"] = tags;
  return out;
}

json draw_json(const Sampler& sampler, const Batch& batch, const Draw& draw, const std::string& pack_id) {
  const PackFacts& p = draw.pack;
  return {{"pack_id", pack_id},
          {"set", batch.sets[draw.set].name},
          {"tier", p.tier},
          {"weight", shown(draw.weight.weight)},
          {"base", shown(draw.weight.base)},
          {"multiplier", draw.weight.multiplier},
          {"emphasis", draw.weight.emphasis},
          {"novelty", shown(p.novelty)},
          {"expected_dmpl", shown(p.expected_dmpl)},
          {"trust", shown(p.trust)},
          {"w_econ", shown(p.w_econ)},
          {"source", origin_name(p.origin)},
          {"bucket", p.negative ? "negative" : "positive"},
          {"groups", group_names(sampler.config(), p.groups)},
          {"valued", p.valued},
          {"why", why(sampler, draw)}};
}

}  // namespace

std::vector<std::string> group_names(const SamplingConfig& config, uint16_t groups) {
  std::vector<std::string> out;
  for (size_t i = 0; i < config.groups.size(); ++i)
    if ((groups >> i & 1) != 0) out.push_back(config.groups[i].name);
  return out;
}

std::string why(const Sampler& sampler, const Draw& draw) {
  const PackWeight& w = draw.weight;
  std::string out;
  switch (sampler.setup().strategy) {
    case Strategy::balanced:
    case Strategy::tag_aware:
      out = fmt::format("trust {:.2f}", w.base);
      break;
    case Strategy::frontier_focused:
    case Strategy::urgency_driven:
      out = fmt::format("urgency {:.2f}", w.base);
      break;
  }
  if (w.multiplier != 1) {
    std::string_view kind = sampler.setup().trust.multiplier_reason(draw.pack.kinds);
    if (kind.ends_with("Tag")) kind.remove_suffix(3);
    out.append(fmt::format(" x {:g} {}", w.multiplier, kind));
  }
  if (w.emphasis != 1) out.append(fmt::format(" x {:g} {}", w.emphasis, sampler.setup().preset));
  if (w.gated) out.append(", synthetic and not trusted");
  return out;
}

std::string sample_record(const Sampler& sampler, const Population& population, const Batch& batch,
                          const BatchContext& context) {
  const SamplerSetup& setup = sampler.setup();
  json out = {{"format", "drover.sample.v1"},
              {"strategy", strategy_name(setup.strategy)},
              {"phase", setup.phase ? json(phase_name(*setup.phase)) : json()},
              {"preset", setup.preset.empty() ? json() : json(setup.preset)},
              {"task", context.task.empty() ? json() : json(context.task)},
              {"seed", context.request.seed},
              {"number", context.request.number},
              {"batch", context.request.batch}};
  if (setup.strategy == Strategy::urgency_driven)
    out["signals"] = {{"error", shown(setup.signals.error)},
                      {"energy", shown(setup.signals.energy)},
                      {"mpl", shown(setup.signals.mpl)}};
  out["config_sha256"] = context.config_sha256;
  out["trust_matrix"] = trust_json(setup.trust);
  out["population"] = population_json(sampler.config(), population);
  json sets = json::array();
  for (const DrawSet& s : batch.sets)
    sets.push_back({{"name", s.name},
                    {"share", shown(s.share)},
                    {"wanted", s.wanted},
                    {"drawn", s.drawn},
                    {"weight_total", shown(s.weight_total)}});
  out["sets"] = sets;
  out["tiers"] = tiers_json(batch.tiers);
  out["groups"] = groups_json(sampler.config(), batch.groups);
  out["synthetic"] = batch.synthetic;
  out["uniform"] = batch.uniform;
  out["repeats"] = batch.repeats;
  out["notes"] = batch.notes;
  json draws = json::array();
  for (size_t i = 0; i < batch.draws.size(); ++i)
    draws.push_back(draw_json(sampler, batch, batch.draws[i], i < context.pack_ids.size() ? context.pack_ids[i] : ""));
  out["draws"] = draws;
  return out.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace drover::sampling
