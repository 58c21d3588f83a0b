// Episodes for the knowledge side, written by hand: a list of acts becomes what gather_facts would have made of them.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "actors/semantics/pipeline.hpp"
#include "tests/semantics/support.hpp"

namespace drover::test {

struct Act {
  semantics::Label label = semantics::Label::approach;
  std::string object;
  semantics::Outcome outcome = semantics::Outcome::success;
  semantics::Reason reason = semantics::Reason::none;
  int retry_of = -1;
  double seconds = 1;
  float force_N = 5;
  float speed_m_per_s = 0.2F;
  float joint_rad_per_s = 0.5F;
  float energy_Wh = 0.01F;
};

inline Act act(semantics::Label label, std::string object) {
  Act a;
  a.label = label;
  a.object = std::move(object);
  return a;
}
inline Act failed(semantics::Label label, std::string object, semantics::Reason reason) {
  Act a = act(label, std::move(object));
  a.outcome = semantics::Outcome::failure;
  a.reason = reason;
  return a;
}
inline Act recovered(semantics::Label label, std::string object, int retry_of) {
  Act a = act(label, std::move(object));
  a.outcome = semantics::Outcome::recovered;
  a.retry_of = retry_of;
  return a;
}

inline semantics::Analysis episode(const std::string& id, semantics::Family family, const std::vector<Act>& acts,
                                   const std::vector<std::string>& also_there = {}) {
  using namespace semantics;
  const Vocabulary& v = vocabulary();
  Analysis out;
  EpisodeFacts& f = out.facts;
  f.episode_id = f.pack_id = id;
  f.robot = "robot-1";
  f.family = family;
  f.has_power = f.has_joints = f.has_force = true;
  double t = 0;
  for (const Act& a : acts) {
    ActionFact fact;
    fact.key = segment_key(id, static_cast<uint32_t>(f.actions.size()));
    fact.label = a.label;
    fact.outcome = a.outcome;
    fact.reason = a.reason;
    fact.object = v.find(TermKind::object, a.object);
    if (a.retry_of >= 0) fact.retry_of = static_cast<uint32_t>(a.retry_of);
    fact.start_s = t;
    t += a.seconds;
    fact.end_s = t;
    fact.confidence = 0.9;
    fact.metrics.duration_s = static_cast<float>(a.seconds);
    fact.metrics.force_N_max = a.force_N;
    fact.metrics.speed_m_per_s_max = a.speed_m_per_s;
    fact.metrics.joint_rad_per_s_max = a.joint_rad_per_s;
    fact.metrics.energy_Wh = a.energy_Wh;
    f.energy_Wh += static_cast<double>(a.energy_Wh);
    if (fact.object) f.objects.push_back(fact.object);
    f.actions.push_back(std::move(fact));
  }
  for (const std::string& object : also_there) {
    f.objects.push_back(v.find(TermKind::object, object));
    f.scene.push_back(f.objects.back());
  }
  std::sort(f.objects.begin(), f.objects.end());
  f.objects.erase(std::unique(f.objects.begin(), f.objects.end()), f.objects.end());
  f.duration_s = t;
  f.success = ended_well(f.actions);
  return out;
}

// A drawer opened; one that slips and is grasped again; one that is locked.
inline semantics::Analysis opened(const std::string& id) {
  using semantics::Label;
  return episode(id, semantics::Family::drawer_open,
                 {act(Label::approach, "handle"), act(Label::grasp, "handle"), act(Label::pull, "drawer"),
                  act(Label::release, "handle")});
}
inline semantics::Analysis stumbled(const std::string& id) {
  using semantics::Label;
  using semantics::Reason;
  return episode(
      id, semantics::Family::drawer_open,
      {act(Label::approach, "handle"), act(Label::grasp, "handle"), failed(Label::pull, "drawer", Reason::grasp_slip),
       recovered(Label::recovery_maneuver, "drawer", 2), recovered(Label::grasp, "handle", 2),
       recovered(Label::pull, "drawer", 2), act(Label::release, "handle")});
}
inline semantics::Analysis locked(const std::string& id) {
  using semantics::Label;
  return episode(id, semantics::Family::drawer_open,
                 {act(Label::approach, "handle"), act(Label::grasp, "handle"),
                  failed(Label::pull, "drawer", semantics::Reason::locked)});
}
inline semantics::Analysis dropped(const std::string& id, const std::string& object = "plate") {
  using semantics::Label;
  return episode(id, semantics::Family::dish_place,
                 {act(Label::approach, object), act(Label::grasp, object),
                  failed(Label::transport, object, semantics::Reason::drop)});
}

// Something of high risk stood right beside the way.
inline void beside_vase(semantics::Analysis& analysis, size_t act) {
  semantics::EpisodeFacts& f = analysis.facts;
  f.scene = {vocabulary().find(semantics::TermKind::object, "vase")};
  f.objects.push_back(f.scene[0]);
  std::sort(f.objects.begin(), f.objects.end());
  f.actions[act].near_m[0] = 0.04F;
}

inline semantics::Stage2Config stage2_config() {
  auto read = semantics::load_stage2_config(config_path(""));
  REQUIRE_MESSAGE(read, read.error().message());
  return std::move(*read);
}
inline semantics::Stage2Pipeline pipeline(semantics::Stage2Config config = stage2_config()) {
  return semantics::Stage2Pipeline(config, vocabulary(), seed_ontology(), seed_graph());
}

}  // namespace drover::test
