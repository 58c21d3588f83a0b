// PlaybookManoeuvres: carries out manoeuvres that are data (playbook.hpp), one leg a stage, so that each leg starts
// from what was learned before it. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "actors/robot/manoeuvres.hpp"
#include "actors/robot/playbook.hpp"

namespace drover::robot {

class PlaybookManoeuvres final : public Manoeuvres {
 public:
  explicit PlaybookManoeuvres(Playbook book);

  void begin(const WorldInfo& world) override;
  void enter(const Walk& walk, const Observation& now) override;
  void perceive(const Walk& walk, const Observation& now) override;
  void learn(const Walk& walk) override;
  std::vector<Leg> plan(Walk& walk, const Observation& now) override;
  std::optional<std::string> guard(const Walk& walk, const Observation& now) const override;
  std::string finish(const Walk& walk, const Observation& now) const override;
  Mat3 orientation() const override { return hand_; }

 private:
  // What the robot believes of one thing.
  struct Thing {
    bool known = false, fresh = false;  // its place was learned; seen in the last look
    Vec3 place_m{};
    Vec3 in_hand_m{}, in_hand_start_m{};  // from the tool to it, smoothed; the same when the manoeuvre began
    double tilt_rad = 0;
    double looks = 0;  // in the last leg that learned it
    Vec3 sum_m{};
  };

  const PlayLeg* leg(const Walk& walk) const;
  Vec3 place(const std::string& name) const;
  bool knows(const std::string& name) const;
  Vec3 destination(const PlayLeg& leg, const Walk& walk, const Observation& now) const;
  double finger_target(const PlayLeg& leg, const Walk& walk) const;
  bool holds(const PlayCheck& check, const Walk& walk, const Observation& now) const;

  Playbook book_;
  Mat3 hand_;
  Vec3 home_m_{};
  PlayKind kind_;  // as seen last
  std::map<std::string, Thing, std::less<>> things_;
};

}  // namespace drover::robot
