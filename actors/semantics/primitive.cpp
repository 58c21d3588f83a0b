#include "actors/semantics/primitive.hpp"

#include <fmt/format.h>

#include <array>
#include <iterator>

#include "actors/semantics/names.hpp"

namespace drover::semantics {
namespace {

constexpr std::array<std::string_view, 4> types = {"action", "object", "relation", "constraint"};

// What a segment teaches. A failure that says how the world is, is about the world; the rest is about what can be done.
PrimitiveType type_of(const Segment& s) {
  switch (s.reason) {
    case Reason::locked:
    case Reason::collision:
    case Reason::protective_stop:
    case Reason::insufficient_force:
      return PrimitiveType::constraint;
    case Reason::grasp_slip:
    case Reason::drop:
    case Reason::misplaced:
    case Reason::grip_lost:
      return PrimitiveType::relation;
    default:
      break;
  }
  // A hand that stands before something looks at it.
  if (s.label == Label::idle && s.object != no_object) return PrimitiveType::object;
  return PrimitiveType::action;
}

std::string_view subject_of(const Segment& s, PrimitiveType type) {
  if (type == PrimitiveType::object) return "see";
  if (type == PrimitiveType::constraint || type == PrimitiveType::relation) return reason_name(s.reason);
  return label_name(s.label);
}

std::string describe(const Primitive& p, const Segment& s) {
  fmt::memory_buffer text;
  auto out = std::back_inserter(text);
  fmt::format_to(out, "{}", label_name(s.label));
  if (!p.object_name.empty()) fmt::format_to(out, " of {}", p.object_name);
  fmt::format_to(out, ": {}", outcome_name(s.outcome));
  if (s.reason != Reason::none) fmt::format_to(out, " ({})", reason_name(s.reason));
  fmt::format_to(out, ", {:.2f} s, {:.3f} m, up to {:.2f} m/s and {:.1f} N, {:.4f} Wh", s.metrics.duration_s,
                 s.metrics.distance_m, s.metrics.speed_m_per_s_max, s.metrics.force_N_max, s.metrics.energy_Wh);
  return fmt::to_string(text);
}

}  // namespace

std::string_view primitive_type_name(PrimitiveType value) noexcept {
  return enum_name(types, value);
}

std::vector<Primitive> extract_primitives(const Rollout& rollout, std::span<const Segment> segments,
                                          const PrimitiveConfig& config, const ConceptLookup* concepts) {
  std::vector<Primitive> out;
  out.reserve(segments.size());
  for (const Segment& s : segments) {
    Primitive& p = out.emplace_back();
    p.id = segment_key(rollout.id, s.id);
    p.type = type_of(s);
    p.source = rollout.source;
    p.family = rollout.family;
    p.label = s.label;
    p.outcome = s.outcome;
    p.reason = s.reason;
    p.metrics = s.metrics;
    if (s.object < rollout.objects.size()) {
      p.object_name = rollout.objects[s.object].name;
      p.object_category = rollout.objects[s.object].category;
    }
    p.name = subject_of(s, p.type);
    if (!p.object_category.empty()) p.name.append("_").append(p.object_category);
    p.description = describe(p, s);
    p.confidence = s.confidence;
    p.ambiguous = p.confidence < config.ambiguous_below;
    p.evidence.push_back({rollout.id, s.id, s.start_s, s.end_s});
    if (concepts == nullptr) continue;
    auto match = concepts->closest(p);
    if (match && match->closeness >= config.closeness_min) p.concept_id = std::move(match->concept_id);
  }
  return out;
}

}  // namespace drover::semantics
