#include "actors/semantics/facts.hpp"

#include <algorithm>
#include <cmath>

#include "actors/semantics/json_text.hpp"

namespace drover::semantics {
namespace {

constexpr size_t refused_max = 8;
constexpr size_t id_bytes_max = 128;

// The term of each object of the scene; what is not in the vocabulary becomes unknown_object and is reported by name.
std::vector<TermId> object_terms(const Rollout& rollout, const Vocabulary& vocabulary, EpisodeFacts& facts) {
  std::vector<TermId> out;
  for (const ObjectInfo& info : rollout.objects) {
    TermId term = vocabulary.find(TermKind::object, info.category);
    if (!term) {
      if (facts.refused_words.size() < refused_max) facts.refused_words.push_back(clean_text(info.category, 64));
      term = vocabulary.find(TermKind::object, "unknown_object");
    }
    out.push_back(term);
  }
  return out;
}

// What the hand holds: from a grasp that worked until it is let go or lost.
class Held {
 public:
  // The object of the act, given the one that the segment names (none: the held one, for acts on what is held).
  TermId object_of(const Segment& s, TermId named) {
    // Letting go may take two segments: opening and going away.
    if (released_ && s.label != Label::release) held_ = {};
    const bool on_held = s.label == Label::pull || s.label == Label::push || s.label == Label::lift ||
                         s.label == Label::place || s.label == Label::transport || s.label == Label::release ||
                         s.label == Label::slip;
    const TermId object = named || !on_held ? named : held_;
    if (s.label == Label::grasp && s.outcome != Outcome::failure && named) held_ = named;
    const bool lost = s.reason == Reason::drop || s.reason == Reason::grip_lost;
    if (lost) held_ = {};
    released_ = s.label == Label::release;
    return object;
  }

 private:
  TermId held_;
  bool released_ = false;
};

// Numbers that are none would spoil every sum they enter.
void make_finite(SegmentMetrics& m) {
  for (float* x :
       {&m.duration_s, &m.distance_m, &m.speed_m_per_s_max, &m.joint_rad_per_s_max, &m.force_N_max, &m.energy_Wh})
    if (!std::isfinite(*x) || *x < 0) *x = 0;
  if (!std::isfinite(m.clearance_m_min)) m.clearance_m_min = -1;
}

// Least distances of the tool to the things of the scene during one segment.
void measure_near(const Rollout& rollout, const Segment& segment, ActionFact& a) {
  if ((rollout.signals & (signal_tool | signal_objects)) != (signal_tool | signal_objects)) return;
  const size_t things = std::min(rollout.objects.size(), objects_max);
  const size_t end = std::min<size_t>(rollout.frames.size(), size_t{segment.first_frame} + segment.frame_count);
  std::array<float, objects_max> least;
  least.fill(-1);
  for (size_t i = segment.first_frame; i < end; ++i) {
    const RolloutFrame& frame = rollout.frames[i];
    for (size_t k = 0; k < things; ++k) {
      if (frame.objects[k].visible == 0) continue;
      float square = 0;
      for (size_t axis = 0; axis < 3; ++axis) {
        const float d = frame.tool_m[axis] - frame.objects[k].position_m[axis];
        square += d * d;
      }
      if (least[k] < 0 || square < least[k]) least[k] = square;
    }
  }
  for (size_t k = 0; k < things; ++k)
    if (k != segment.object && least[k] >= 0) a.near_m[k] = std::sqrt(least[k]);
}

}  // namespace

bool ended_well(std::span<const ActionFact> actions) {
  for (size_t i = actions.size(); i-- > 0;) {
    const ActionFact& a = actions[i];
    if (a.outcome == Outcome::failure) return false;
    if (a.label != Label::idle && a.label != Label::recovery_maneuver) return true;
  }
  return false;
}

EpisodeFacts gather_facts(const Rollout& rollout, std::span<const Segment> segments,
                          std::span<const Primitive> primitives, const Vocabulary& vocabulary) {
  EpisodeFacts out;
  out.episode_id = clean_text(rollout.id, id_bytes_max);
  out.pack_id = out.episode_id;
  out.robot = clean_text(rollout.robot, id_bytes_max);
  out.family = rollout.family;
  out.source = rollout.source == RolloutSource::real_log ? Source::real_log : Source::sima2;
  out.has_power = (rollout.signals & signal_power) != 0;
  out.has_joints = (rollout.signals & signal_joints) != 0;
  out.has_force = (rollout.signals & signal_force) != 0;
  out.scene = object_terms(rollout, vocabulary, out);
  out.objects = out.scene;
  std::sort(out.objects.begin(), out.objects.end());
  out.objects.erase(std::unique(out.objects.begin(), out.objects.end()), out.objects.end());
  const size_t count = std::min({segments.size(), primitives.size(), actions_max});
  out.actions.reserve(count);
  Held held;
  for (size_t i = 0; i < count; ++i) {
    const Segment& s = segments[i];
    const Primitive& p = primitives[i];
    ActionFact a;
    a.key = p.id.size() <= id_bytes_max ? p.id : clean_text(p.id, id_bytes_max);
    a.label = s.label;
    a.outcome = s.outcome;
    a.reason = s.reason;
    a.object = held.object_of(s, s.object < out.scene.size() ? out.scene[s.object] : TermId{});
    if (s.retry_of != no_segment) a.retry_of = s.retry_of;
    a.start_s = s.start_s;
    a.end_s = s.end_s;
    a.confidence = std::isfinite(p.confidence) ? std::clamp(p.confidence, 0.0, 1.0) : 0;
    a.ambiguous = p.ambiguous;
    a.mapped = p.concept_id.has_value();
    a.metrics = s.metrics;
    make_finite(a.metrics);
    measure_near(rollout, s, a);
    out.energy_Wh += static_cast<double>(a.metrics.energy_Wh);
    out.actions.push_back(std::move(a));
  }
  if (!segments.empty()) out.duration_s = segments.back().end_s - segments.front().start_s;
  out.success = rollout.outcome == "success" || (rollout.outcome != "failure" && ended_well(out.actions));
  return out;
}

}  // namespace drover::semantics
