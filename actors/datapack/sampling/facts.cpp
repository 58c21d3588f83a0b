#include "actors/datapack/sampling/facts.hpp"

#include <algorithm>
#include <cmath>

#include "messages/hash.hpp"

namespace drover::sampling {
namespace {

constexpr size_t shared_bit = 63;
constexpr size_t carried_max = 4096;
constexpr size_t signatures_max = size_t{1} << 20;

std::string skill_name(const PackInput& input, const PackInput::Skill& skill) {
  return std::string(input.task_name).append("/").append(std::to_string(skill.id));
}

// What an episode looked like at a glance.
uint64_t signature(const PackInput& input) {
  uint64_t out = input.negative ? 1 : 0;
  const auto mix = [&](std::string_view text) { out = checksum64(as_bytes(text), out + 0x9e3779b97f4a7c15u); };
  mix(input.task_name);
  for (const PackInput::Skill& skill : input.skills) {
    mix(std::to_string(skill.id));
    mix(skill.success ? "1" : "0");
  }
  for (const std::string& word : input.tags.words) mix(word);
  return out;
}

PackInput::Value rule_of_thumb(double delta_J, uint32_t earlier) {
  const double novelty = 1.0 / (1.0 + earlier);
  const uint8_t tier = std::abs(delta_J) >= 0.5 && novelty >= 0.5 ? 2 : novelty >= 0.2 ? 1 : 0;
  return {novelty, tier, 0};
}

float bounded(double value, double low, double high) {
  return static_cast<float>(std::isfinite(value) ? std::clamp(value, low, high) : low);
}

}  // namespace

std::string_view origin_name(Origin origin) noexcept {
  constexpr std::array<std::string_view, 3> names{"real", "synthetic", "hybrid"};
  return names[static_cast<size_t>(origin)];
}

size_t BitNames::bit(std::string_view name) {
  if (const auto at = find(name)) return *at;
  if (bits_.size() >= shared_bit) return shared_bit;
  names_.emplace_back(name);
  return bits_.emplace(name, names_.size() - 1).first->second;
}

std::optional<size_t> BitNames::find(std::string_view name) const {
  const auto at = bits_.find(name);
  if (at == bits_.end()) return std::nullopt;
  return at->second;
}

std::string BitNames::name(size_t bit) const {
  return bit < names_.size() ? names_[bit] : std::string("others");
}

PackFacts FactsBuilder::add(const PackInput& input) {
  PackFacts out;
  out.key = input.key;
  uint32_t earlier = 0;
  if (!input.value && seen_.size() < signatures_max) earlier = seen_[signature(input)]++;
  const PackInput::Value value = input.value.value_or(rule_of_thumb(input.delta_J, earlier));
  out.valued = input.value.has_value();
  out.novelty = bounded(value.novelty, 0, 1);
  out.expected_dmpl = bounded(value.expected_dmpl, 0, 1e9);
  out.tier = std::min<uint8_t>(value.tier, tier_count - 1);
  out.trust = bounded(input.trust, 0, 1);
  out.w_econ = bounded(input.w_econ, 0, 1e9);
  out.origin = input.origin;
  out.negative = input.negative;
  for (size_t i = 0; i < tag_kinds.size(); ++i)
    if ((input.tags.kinds >> i & 1) != 0 && !trust_->ignored(i)) out.kinds |= static_cast<uint8_t>(1u << i);
  const auto fragility_kind =
      static_cast<size_t>(std::find(tag_kinds.begin(), tag_kinds.end(), "FragilityTag") - tag_kinds.begin());
  if (!trust_->ignored(fragility_kind)) out.fragility = bounded(input.tags.fragility, 0, 1);
  for (const std::string& word : input.tags.words) {
    const auto kind = kind_of_word(word);
    if (kind && trust_->ignored(*kind)) continue;
    out.groups = static_cast<uint16_t>(out.groups | groups_of_word(config_->groups, word));
  }
  const size_t safety = group_index(config_->groups, "safety_critical");
  if (input.tags.safety_critical && safety < config_->groups.size())
    out.groups = static_cast<uint16_t>(out.groups | (1u << safety));
  out.safety_critical =
      input.tags.safety_critical || (safety < config_->groups.size() && (out.groups >> safety & 1) != 0);
  for (const std::string& word : input.tags.prerequisites)
    out.prerequisites |= uint64_t{1} << prerequisite_names_.bit(word);
  for (const PackInput::Skill& skill : input.skills)
    out.skills |= uint64_t{1} << skill_names_.bit(skill_name(input, skill));
  tally(input);
  return out;
}

void FactsBuilder::tally(const PackInput& input) {
  for (const PackInput::Skill& skill : input.skills) {
    if (!skill.known) continue;
    Tally& at = skills_[skill_names_.bit(skill_name(input, skill))];
    ++at.attempts;
    at.successes += skill.success ? 1 : 0;
  }
  if (!input.tags.success) return;
  const auto carry = [&](const std::string& word) {
    if (carried_.size() >= carried_max && !carried_.contains(word)) return;
    Tally& at = carried_[word];
    ++at.attempts;
    at.successes += *input.tags.success ? 1 : 0;
  };
  const size_t affordance = *kind_of_word("pullable:x");
  for (const std::string& word : input.tags.words)
    if (kind_of_word(word) == affordance) carry(word);
  for (const std::string& word : input.tags.prerequisites)
    if (!std::binary_search(input.tags.words.begin(), input.tags.words.end(), word)) carry(word);
}

uint64_t FactsBuilder::met_prerequisites() const {
  uint64_t out = 0;
  for (size_t i = 0; i < prerequisite_names_.size(); ++i) {
    const Tally at = carried(prerequisite_names_.name(i));
    if (at.attempts >= config_->prerequisites.episodes_min && at.success() > config_->prerequisites.success_above)
      out |= uint64_t{1} << i;
  }
  return out;
}

Tally FactsBuilder::carried(std::string_view word) const {
  const auto at = carried_.find(word);
  return at == carried_.end() ? Tally{} : at->second;
}

}  // namespace drover::sampling
