#include "actors/semantics/sima_template.hpp"

#include <algorithm>
#include <cmath>

#include "actors/runtime/rng.hpp"
#include "actors/semantics/template_plan.hpp"
#include "actors/semantics/template_render.hpp"

namespace drover::semantics {
namespace {

constexpr uint32_t embedding_dimension = 16;
constexpr double embedding_stride_s = 0.5;
using Unit = std::array<double, embedding_dimension>;

void scale_to_unit(Unit& v) {
  double sum = 0;
  for (double x : v) sum += x * x;
  for (double& x : v) x /= std::sqrt(sum) + 1e-12;
}

Unit random_unit(runtime::Rng& rng) {
  Unit v;
  for (double& x : v) x = 2 * rng.uniform() - 1;
  scale_to_unit(v);
  return v;
}

// What a scene of this family usually looks like; the same in every batch.
Unit usual_look(Family family) {
  runtime::Rng rng = runtime::Rng::stream(0x9e3779b97f4a7c15u, family_name(family));
  return random_unit(rng);
}

// Rows at `1 - distance` to the usual look (cosine), each a little different.
void make_embedding(Family family, double distance, double seconds, runtime::Rng& rng, EmbeddingTrack& out) {
  const Unit usual = usual_look(family);
  Unit side = random_unit(rng);
  double along = 0;
  for (size_t i = 0; i < side.size(); ++i) along += side[i] * usual[i];
  for (size_t i = 0; i < side.size(); ++i) side[i] -= along * usual[i];
  scale_to_unit(side);
  out.dimension = embedding_dimension;
  out.stride_s = embedding_stride_s;
  out.values.clear();
  const auto rows = static_cast<size_t>(seconds / embedding_stride_s) + 1;
  for (size_t row = 0; row < rows; ++row) {
    const double cosine = 1 - distance * (0.97 + 0.06 * rng.uniform());
    const double sine = std::sqrt(std::max(0.0, 1 - cosine * cosine));
    Unit v;
    for (size_t i = 0; i < v.size(); ++i) v[i] = cosine * usual[i] + sine * side[i];
    scale_to_unit(v);
    for (double x : v) out.values.push_back(static_cast<float>(x));
  }
}

std::string padded(uint64_t value) {
  std::string digits = std::to_string(value);
  return digits.size() >= 6 ? digits : std::string(6 - digits.size(), '0') + digits;
}

void describe(Rollout& rollout, const TemplateConfig& config, Family family, uint64_t index) {
  rollout.id = "sima-";
  rollout.id += family_name(family);
  rollout.id += '-';
  rollout.id += std::to_string(config.seed);
  rollout.id += '-';
  rollout.id += padded(index);
  rollout.robot = "sima2";
  rollout.task_name = family_name(family);
  rollout.family = family;
  rollout.source = RolloutSource::sima2;
  rollout.world = "templates_v1";
  rollout.signals = signals_all;
  rollout.joint_count = template_joints;
  rollout.rate_hz = config.rate_hz;
}

}  // namespace

Status validate(const TemplateConfig& config) {
  const auto bad = [](const char* field, const char* what) {
    return fail(Errc::invalid_argument, std::string("templates.") + field, what);
  };
  if (!(config.rate_hz >= 10 && config.rate_hz <= 1000)) return bad("rate_hz", "must be 10..1000");
  if (!(config.noise >= 0 && config.noise <= 10)) return bad("noise", "must be 0..10");
  double sum = 0;
  for (double share : config.shares) {
    if (!(share >= 0 && share <= 1)) return bad("shares", "each must be 0..1");
    sum += share;
  }
  if (std::abs(sum - 1) > 1e-9) return bad("shares", "must sum to 1");
  if (!(config.out_of_distribution_share >= 0 && config.out_of_distribution_share <= 1))
    return bad("out_of_distribution_share", "must be 0..1");
  return {};
}

// The shares by largest remainder, shuffled; then ordinals within each kind, and who is out of distribution.
void TemplateLibrary::fill_block(Family family, uint64_t block) {
  if (block_family_ == family && block_ == block) return;
  block_family_ = family;
  block_ = block;
  std::string name = "block/";
  name += family_name(family);
  name += '/';
  name += std::to_string(block);
  runtime::Rng rng = runtime::Rng::stream(config_.seed, name);
  std::array<size_t, 4> counts{};
  std::array<double, 4> rest{};
  size_t given = 0;
  for (size_t k = 0; k < 4; ++k) {
    const double exact = config_.shares[k] * static_cast<double>(block_size);
    counts[k] = static_cast<size_t>(exact + 1e-9);
    rest[k] = exact - static_cast<double>(counts[k]);
    given += counts[k];
  }
  for (; given < block_size; ++given) {
    const auto most = static_cast<size_t>(std::max_element(rest.begin(), rest.end()) - rest.begin());
    ++counts[most];
    rest[most] -= 1;
  }
  size_t at = 0;
  for (size_t k = 0; k < 4; ++k)
    for (size_t i = 0; i < counts[k]; ++i) slots_[at++] = {static_cast<Template>(k), 0, false};
  for (size_t i = block_size - 1; i > 0; --i) std::swap(slots_[i], slots_[rng.below(i + 1)]);
  std::array<uint32_t, 4> ordinals{};
  for (Slot& slot : slots_) slot.ordinal = ordinals[static_cast<size_t>(slot.kind)]++;
  // A share below one per block comes up in some blocks.
  const double odd = config_.out_of_distribution_share * static_cast<double>(block_size);
  auto count = static_cast<size_t>(odd);
  if (rng.chance(odd - static_cast<double>(count))) ++count;
  for (size_t i = 0; i < count; ++i) {
    size_t at_slot = rng.below(block_size);
    if (config_.odd_failure_share >= 0) {
      // The next one round that fails, or that does not.
      const bool fails = rng.chance(config_.odd_failure_share);
      for (size_t step = 0; step < block_size; ++step, at_slot = (at_slot + 1) % block_size)
        if ((slots_[at_slot].kind == Template::failure) == fails && !slots_[at_slot].odd) break;
    }
    slots_[at_slot].odd = true;
  }
}

void TemplateLibrary::make(Family family, uint64_t index, LabelledRollout& out) {
  fill_block(family, index / block_size);
  const Slot slot = slots_[index % block_size];
  std::string name = "rollout/";
  name += family_name(family);
  name += '/';
  name += std::to_string(index);
  runtime::Rng rng = runtime::Rng::stream(config_.seed, name);
  PlanRequest request;
  request.family = family;
  request.kind = slot.kind;
  request.geometry = static_cast<uint32_t>(index % 3);
  request.friction = static_cast<uint32_t>(index / 3 % 3);
  request.mass = static_cast<uint32_t>(index / 9 % 2);
  request.trouble = static_cast<uint32_t>(slot.ordinal + index / block_size);
  const uint32_t one_in = slot.kind == Template::success ? 4 : slot.kind == Template::failure ? 2 : 3;
  request.risky = slot.ordinal % one_in == 0 && slot.kind != Template::mixed;
  const uint64_t oddity = slot.odd ? rng.below(3) : 3;
  request.rushed = oddity == 1;
  request.slow_stretch = oddity == 2;

  Plan plan = make_plan(request, rng);
  Rollout& rollout = out.rollout;
  describe(rollout, config_, family, index);
  rollout.outcome = slot.kind == Template::failure ? "failure" : "success";
  rollout.objects = std::move(plan.objects);
  render(plan.script, {config_.rate_hz, config_.noise}, rng, rollout.frames);
  rollout.embedding = {};
  const double seconds = rollout.frames.back().time_s;
  const double distance = oddity == 0 ? 0.75 + 0.35 * rng.uniform() : 0.02 + 0.2 * rng.uniform();
  if (config_.embedding) make_embedding(family, distance, seconds, rng, rollout.embedding);

  GroundTruth& truth = out.truth;
  truth = {};
  truth.kind = slot.kind;
  render_truth(plan.script, truth.segments);
  truth.failure = std::move(plan.failure);
  truth.recovery = std::move(plan.recovery);
  truth.risk = plan.risk;
  truth.fragility = plan.fragility;
  truth.out_of_distribution = slot.odd;
  truth.oddity = oddity == 0 ? "visual" : oddity == 1 ? "kinematic" : oddity == 2 ? "temporal" : "";
  truth.novelty = oddity == 0 ? distance / 1.1 : 0.1 * static_cast<double>(index % 3) + 0.1 * rng.uniform();
  truth.recovered = slot.kind == Template::recovery;
  truth.damage = plan.damage;
  truth.lucky = slot.kind == Template::success && plan.risk > 0.6;
  truth.black_swan = slot.kind == Template::failure && plan.risk < 0.3;
}

TemplateClient::TemplateClient(const TemplateConfig& config, std::vector<Family> families, uint64_t count)
    : library_(config), families_(std::move(families)), count_(families_.empty() ? 0 : count) {}

Result<std::optional<LabelledRollout>> TemplateClient::next() {
  if (at_ == count_ * families_.size()) return std::nullopt;
  LabelledRollout rollout;
  library_.make(families_[at_ / count_], at_ % count_, rollout);
  ++at_;
  return rollout;
}

StressMix::StressMix(uint64_t seed, double rate_hz, bool harmless)
    : library_([&] {
        TemplateConfig config;
        config.seed = seed;
        config.rate_hz = rate_hz;
        config.shares = {0.55, 0.30, 0.10, 0.05};
        config.odd_failure_share = harmless ? -1 : 0.7;
        return config;
      }()) {}

void StressMix::make(uint64_t index, LabelledRollout& out) {
  const uint64_t block = index / 5, place = index % 5;
  if (place < 4)
    library_.make(place % 2 == 0 ? Family::drawer_open : Family::dish_place, 2 * block + place / 2, out);
  else
    wander(block, out);
}

void StressMix::wander(uint64_t index, LabelledRollout& out) const {
  std::string name = "wander/";
  name += std::to_string(index);
  runtime::Rng rng = runtime::Rng::stream(library_.config().seed, name);
  Script script;
  script.tool_m = {0.4, 0, 0.3};
  script.width_m = 0.085;
  ScriptWriter writer(script, rng, {});
  for (int i = 0; i < 6; ++i) writer.approach({writer.draw(0.3, 0.6), writer.draw(-0.3, 0.3), writer.draw(0.05, 0.4)});
  out.truth = {};
  out.rollout = {};
  describe(out.rollout, library_.config(), Family::other, index);
  out.rollout.id = "sima-noise-" + std::to_string(library_.config().seed) + "-" + padded(index);
  out.rollout.task_name = "noise";
  script.things.push_back({{0.5, 0, 0.03}, 0, 0});
  out.rollout.objects = {{"part", "part", "box", "", "", false}};
  render(script, {library_.config().rate_hz, 8}, rng, out.rollout.frames);
}

}  // namespace drover::semantics
