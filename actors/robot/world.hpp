// World: one place where a robot can act, whatever simulates it. The interface that skills and policies see.
//
// Use: reset(seed, set), then step(action) until the caller is content; observe() is what the robot's sensors say after
// the last of them. Equal seeds and actions give equal bits (state_hash). SI units, world frame unless said otherwise.
// Threads: one world, one thread at a time; different worlds are independent.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "actors/robot/arm.hpp"
#include "actors/robot/condition.hpp"
#include "actors/robot/energy.hpp"
#include "messages/result.hpp"

namespace drover::robot {

struct Action {
  JointVector joint_target_rad{};
  double gripper_target_m = 0;  // travel of one finger; below 0 presses what is held
  int64_t skill_id = -1;        // energy is booked on it
};

// What the camera makes of one thing in the scene. Noisy, as the condition says.
struct Sight {
  std::string_view name;  // "handle", "vase"; lives as long as the world
  bool visible = false;   // false: this look saw nothing, the rest is stale
  Vec3 position_m{};
  double tilt_rad = 0;
  double extension_m = 0;  // how far it is open, for things that slide
  std::string_view kind;   // for example the handle's kind; lives until the next reset
};

struct Observation {
  double time_s = 0;
  JointVector joint_rad{};
  JointVector joint_rad_per_s{};
  JointVector joint_Nm{};
  double gripper_m = 0;
  double gripper_m_per_s = 0;
  double gripper_N = 0;
  Pose tool;
  Vec3 tool_force_N{};  // what touches the hand presses on it
  std::vector<Sight> sights;

  const Sight* sight(std::string_view name) const;
};

// A fact of the physics, once per contact or change, in time order.
struct WorldEvent {
  double time_s = 0;
  std::string kind;               // vase_contact | vase_broken | frame_collision | drawer_open | ...
  std::string severity = "info";  // info | warning | error
  std::string detail;
};

// What the task says of the episode so far.
struct Outcome {
  bool success = false;  // the goal is met now and nothing is broken
  bool broken = false;   // something that must not break broke; stays
  double errors = 0;
  double progress = 0;  // 0..1 of the goal
};

// A camera of the world. It looks along -z of its own frame, y is up in the picture, x to the right.
struct CameraInfo {
  std::string name;      // the first one of a world is the main camera
  std::string link;      // the SceneFrame it is fixed to, or "world"
  Pose in_link;          // where on it
  double fovy_deg = 45;  // vertical field of view; pixels are square, the principal point is the middle
  double near_m = 0;     // what is nearer is cut away
};

struct WorldInfo {
  std::string name;    // drawer_vase
  std::string engine;  // mujoco | ...
  double timestep_s = 0;
  double control_period_s = 0;
  double episode_s_max = 0;
  double gripper_open_m = 0;
  JointVector home_rad{};
  Arm arm;
  std::vector<CameraInfo> cameras;
};

// Where one named thing really is: the simulator's truth, for recordings and scene tracks. Policies must not read it.
struct SceneFrame {
  std::string_view name;    // unique in the world, the same after every reset; lives as long as the world
  std::string_view parent;  // the frame it is mounted on or slides in; "world" for what stands free
  Pose pose;                // in the world frame, at Observation::time_s
  bool is_object = false;   // something that can be moved and is no part of the robot: drawer, handle, vase
  double occluded = 0;      // of an object: share the main camera does not see in a square picture, 0..1
};

// What two things press on each other with, all contact points between them together.
struct Contact {
  std::string_view a, b;  // bodies, named as in scene() ("world": the floor); live as long as the world
  double force_N = 0;     // normal force, > 0
  Vec3 point_m{};         // mean point, weighted by force, world frame
};

// A picture: 8 bits a channel, row-major, top row first, no padding.
struct Image {
  uint32_t width = 0;
  uint32_t height = 0;
  std::vector<uint8_t> rgb;  // 3 * width * height
};

struct ViewRequest {
  std::string_view camera;  // a name in WorldInfo::cameras; empty: the main camera
  uint32_t width = 128;     // 1..view_pixels_max
  uint32_t height = 128;
  bool fine = false;  // with shadows: for people to look at; twice the cost
};
inline constexpr uint32_t view_pixels_max = 2048;

// `child` as seen from `parent`, both given in one frame.
Pose relative(const Pose& parent, const Pose& child);
// Unit quaternion (w, x, y, z) of a rotation, w >= 0.
std::array<double, 4> quaternion(const Mat3& rotation);

class World {
 public:
  World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  virtual ~World() = default;

  virtual const WorldInfo& info() const = 0;
  // Starts an episode. Errors: not_found (no such condition set), internal (the physics refuses the model).
  virtual Status reset(uint64_t seed, std::string_view condition_set) = 0;
  // One control period. Errors: invalid_argument (a target is not finite), internal (the physics diverged: the episode
  // is void).
  virtual Status step(const Action& action) = 0;

  virtual const Observation& observe() const = 0;
  virtual const EnergyMeter& energy() const = 0;
  virtual const std::vector<WorldEvent>& events() const = 0;  // at most events_max, then no more are kept
  virtual Outcome outcome() const = 0;
  virtual const Condition& condition() const = 0;
  virtual uint64_t state_hash() const = 0;

  // The scene as it is now: links from the base on, then everything else; always the same names in the same order.
  // Made when asked for (some tenths of a millisecond, most of it for `occluded`); valid until the next reset or step.
  // Empty for a world that does not know.
  virtual const std::vector<SceneFrame>& scene() const;
  // Who touches whom now, strongest first, at most contacts_max. Valid until the next reset or step.
  virtual const std::vector<Contact>& contacts() const;
  // Draws what a camera sees now into `out` (its buffer is used again): light, occluders and pixel noise as the
  // condition says. Does not change the episode. The same seed, state and view give the same bytes on one machine and
  // graphics driver. May be called from any one thread at a time, not always the same; the first call takes longer.
  // Errors: unavailable (no pictures here: says what is missing), not_found (no such camera), invalid_argument (size).
  virtual Status render(const ViewRequest& view, Image& out);

  static constexpr size_t contacts_max = 64;
  static constexpr size_t events_max = 4096;
};

}  // namespace drover::robot
