#include "actors/robot/mujoco_world.hpp"

#include <fmt/format.h>
#include <mujoco/mujoco.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>

#include "actors/robot/mujoco_render.hpp"
#include "actors/robot/mujoco_scene.hpp"
#include "actors/robot/mujoco_task.hpp"
#include "messages/check.hpp"
#include "messages/hash.hpp"

namespace drover::robot {
namespace {

constexpr size_t actuated = arm_joint_count + 1;

struct ModelDelete {
  void operator()(mjModel* model) const { mj_deleteModel(model); }
};
struct DataDelete {
  void operator()(mjData* data) const { mj_deleteData(data); }
};
using ModelPtr = std::unique_ptr<mjModel, ModelDelete>;
using DataPtr = std::unique_ptr<mjData, DataDelete>;

// MuJoCo's own handlers write a log file into the working folder; warnings are read from mjData instead.
void quiet_mujoco() {
  static std::once_flag once;
  std::call_once(once, [] {
    mju_user_warning = [](const char*) {};
    mju_user_error = [](const char* text) { DROVER_CHECK(false, text); };
  });
}

Vec3 vec(const mjtNum* v) {
  return {v[0], v[1], v[2]};
}
Mat3 mat(const mjtNum* m) {
  Mat3 out;
  std::copy_n(m, 9, out.begin());
  return out;
}
Mat3 mat_of_quat(const mjtNum* quat) {
  mjtNum m[9];
  mju_quat2Mat(m, quat);
  return mat(m);
}

struct Drive {  // ids of one actuated joint
  int qpos = 0;
  int dof = 0;
  int actuator = 0;
};

// Where things are in the model.
struct Layout {
  std::array<Drive, actuated> drives{};
  int tool_site = 0;
  int robot_root = 0;           // the body all of the robot hangs on
  std::vector<char> hand_geom;  // by geom: part of the hand or its fingers
  Arm arm;
};

Status read_arm(const mjModel& m, const std::array<int, arm_joint_count>& joints, Layout& out) {
  const DataPtr data(mj_makeData(&m));
  mj_kinematics(&m, data.get());
  const int parent = m.body_parentid[m.jnt_bodyid[joints[0]]];
  out.robot_root = parent == 0 ? m.jnt_bodyid[joints[0]] : parent;
  out.arm.base = {vec(data->xpos + 3 * parent), mat(data->xmat + 9 * parent)};
  for (size_t i = 0; i < arm_joint_count; ++i) {
    const int body = m.jnt_bodyid[joints[i]];
    if (i > 0 && m.body_parentid[body] != m.jnt_bodyid[joints[i - 1]])
      return fail(Errc::invalid_argument, "model/arm", "each joint's body must be the child of the one before it");
    const mjtNum* anchor = m.jnt_pos + 3 * joints[i];
    if (m.jnt_type[joints[i]] != mjJNT_HINGE || anchor[0] != 0 || anchor[1] != 0 || anchor[2] != 0)
      return fail(Errc::invalid_argument, "model/arm", "joints must be hinges at the origin of their bodies");
    out.arm.joints[i] = {vec(m.body_pos + 3 * body), mat_of_quat(m.body_quat + 4 * body),
                         vec(m.jnt_axis + 3 * joints[i]), m.jnt_range[2 * joints[i]], m.jnt_range[2 * joints[i] + 1]};
  }
  const int hand = m.jnt_bodyid[joints[arm_joint_count - 1]];
  if (m.site_bodyid[out.tool_site] != hand)
    return fail(Errc::invalid_argument, "model/tcp", "the site tcp must be on the body of the last joint");
  out.arm.tool = {vec(m.site_pos + 3 * out.tool_site), mat_of_quat(m.site_quat + 4 * out.tool_site)};
  out.hand_geom.assign(static_cast<size_t>(m.ngeom), 0);
  for (int g = 0; g < m.ngeom; ++g) {
    const int body = m.geom_bodyid[g];
    out.hand_geom[static_cast<size_t>(g)] = body == hand || m.body_parentid[body] == hand;
  }
  return {};
}

Result<Layout> read_layout(const mjModel& m, const WorldConfig& config) {
  Layout out;
  std::array<int, arm_joint_count> joints{};
  for (size_t i = 0; i < actuated; ++i) {
    DROVER_ASSIGN(const int joint, find_id(m, mjOBJ_JOINT, config.joints[i].energy.name));
    DROVER_ASSIGN(const int actuator, find_id(m, mjOBJ_ACTUATOR, config.joints[i].actuator));
    out.drives[i] = {m.jnt_qposadr[joint], m.jnt_dofadr[joint], actuator};
    if (i < arm_joint_count) joints[i] = joint;
  }
  DROVER_ASSIGN(out.tool_site, find_id(m, mjOBJ_SITE, "tcp"));
  DROVER_TRY(read_arm(m, joints, out));
  return out;
}

std::vector<EnergyJoint> energy_joints(const WorldConfig& config) {
  std::vector<EnergyJoint> out;
  for (const ActuatedJoint& joint : config.joints) out.push_back(joint.energy);
  return out;
}

class MujocoWorld final : public World {
 public:
  // What a world is made of; `base` is never written.
  struct Parts {
    std::shared_ptr<const WorldConfig> config;
    std::shared_ptr<const void> base;
    ModelPtr model;
    DataPtr data;
    Layout layout;
    std::unique_ptr<MujocoTask> task;
  };
  explicit MujocoWorld(Parts parts)
      : p_(std::move(parts)),
        meter_(energy_joints(*p_.config)),
        substeps_(substeps_of(*p_.config)),
        names_(*static_cast<const mjModel*>(p_.base.get()), p_.layout.robot_root) {
    const WorldConfig& c = *p_.config;
    mj_kinematics(p_.model.get(), p_.data.get());
    mj_camlight(p_.model.get(), p_.data.get());
    info_ = {c.name,
             "mujoco",
             c.timestep_s,
             c.control_period_s,
             c.episode_s_max,
             c.gripper_open,
             c.home_rad,
             p_.layout.arm,
             names_.cameras(*p_.model, *p_.data)};
  }

  const WorldInfo& info() const override { return info_; }
  Status reset(uint64_t seed, std::string_view condition_set) override;
  Status step(const Action& action) override;
  const Observation& observe() const override { return seen_; }
  const EnergyMeter& energy() const override { return meter_; }
  const std::vector<WorldEvent>& events() const override { return events_; }
  Outcome outcome() const override { return p_.task->outcome(*p_.model, *p_.data); }
  const Condition& condition() const override { return condition_; }
  uint64_t state_hash() const override;
  const std::vector<SceneFrame>& scene() const override;
  const std::vector<Contact>& contacts() const override;
  Status render(const ViewRequest& view, Image& out) override;

 private:
  static int substeps_of(const WorldConfig& c) {
    return static_cast<int>(std::lround(c.control_period_s / c.timestep_s));
  }
  void physics_step();
  void look();
  Status health() const;
  mjData& shown() const;

  Parts p_;
  EnergyMeter meter_;
  int substeps_;
  WorldInfo info_;
  Condition condition_;
  Observation seen_;
  std::vector<WorldEvent> events_;
  runtime::Rng noise_;
  std::array<double, actuated> target_{};  // where the last action led
  uint64_t frame_ = 0;                     // control steps since reset

  // What is shown is worked out on a copy and only when asked for: looking can not change the physics.
  MujocoScene names_;
  mutable DataPtr shown_;
  mutable bool shown_fresh_ = false, scene_fresh_ = false, contacts_fresh_ = false;
  mutable std::vector<SceneFrame> scene_;
  mutable std::vector<Contact> contacts_;
  MujocoRenderer renderer_{false}, fine_renderer_{true};
};

Status MujocoWorld::reset(uint64_t seed, std::string_view condition_set) {
  const WorldConfig& c = *p_.config;
  const auto set = c.conditions.find(std::string(condition_set));
  if (set == c.conditions.end())
    return fail(Errc::not_found, c.name + "/condition." + std::string(condition_set), "the world has no such set");
  condition_ = draw_condition(set->second, {c.name, condition_set, seed});
  noise_ = runtime::Rng::stream(seed, c.name + "/sensors");
  mjModel* m = p_.model.get();
  mjData* d = p_.data.get();
  mj_copyModel(m, static_cast<const mjModel*>(p_.base.get()));
  m->opt.timestep = c.timestep_s;
  p_.task->apply(condition_, *m);
  apply_lighting(condition_, *m);
  apply_occluders(condition_, *m);
  mj_setConst(m, d);
  mj_resetData(m, d);
  for (size_t i = 0; i < actuated; ++i) {
    target_[i] = i < arm_joint_count ? c.home_rad[i] : c.gripper_open;
    d->qpos[p_.layout.drives[i].qpos] = target_[i];
    d->ctrl[p_.layout.drives[i].actuator] = target_[i];
  }
  p_.task->place(condition_, *m, *d);
  mj_forward(m, d);
  meter_.reset();
  events_.clear();
  frame_ = 0;
  look();
  return health();
}

Status MujocoWorld::step(const Action& action) {
  std::array<double, actuated> from = target_;
  for (size_t i = 0; i < actuated; ++i) {
    const double wanted = i < arm_joint_count ? action.joint_target_rad[i] : action.gripper_target_m;
    if (!std::isfinite(wanted)) return fail(Errc::invalid_argument, "action", "targets must be finite numbers");
    target_[i] = wanted;
  }
  meter_.on_skill(action.skill_id);
  for (int k = 1; k <= substeps_; ++k) {
    const double share = static_cast<double>(k) / substeps_;
    for (size_t i = 0; i < actuated; ++i)
      p_.data->ctrl[p_.layout.drives[i].actuator] = from[i] + share * (target_[i] - from[i]);
    physics_step();
  }
  ++frame_;
  look();
  return health();
}

// One time step. The arm's motors carry its weight (bias of the step before), so that torque counts as theirs.
void MujocoWorld::physics_step() {
  mjData* d = p_.data.get();
  std::array<JointInterval, actuated> intervals;
  for (size_t i = 0; i < actuated; ++i) {
    const int dof = p_.layout.drives[i].dof;
    if (i < arm_joint_count) d->qfrc_applied[dof] = d->qfrc_bias[dof];
    intervals[i].velocity_start = d->qvel[dof];
  }
  mj_step(p_.model.get(), d);
  for (size_t i = 0; i < actuated; ++i) {
    const int dof = p_.layout.drives[i].dof;
    const double torque = d->qfrc_actuator[dof] + d->qfrc_applied[dof];  // constant within the step
    intervals[i].torque_start = intervals[i].torque_end = torque;
    intervals[i].velocity_end = d->qvel[dof];
  }
  meter_.add(intervals, p_.model->opt.timestep);
  EventSink sink(events_);
  p_.task->after_step(*p_.model, *d, sink);
}

void MujocoWorld::look() {
  const mjModel& m = *p_.model;
  const mjData& d = *p_.data;
  shown_fresh_ = scene_fresh_ = contacts_fresh_ = false;
  seen_.time_s = d.time;
  for (size_t i = 0; i < arm_joint_count; ++i) {
    const Drive& drive = p_.layout.drives[i];
    seen_.joint_rad[i] = d.qpos[drive.qpos];
    seen_.joint_rad_per_s[i] = d.qvel[drive.dof];
    seen_.joint_Nm[i] = d.qfrc_actuator[drive.dof] + d.qfrc_applied[drive.dof];
  }
  const Drive& grip = p_.layout.drives[arm_joint_count];
  seen_.gripper_m = d.qpos[grip.qpos];
  seen_.gripper_m_per_s = d.qvel[grip.dof];
  seen_.gripper_N = d.qfrc_actuator[grip.dof];
  seen_.tool = forward(p_.layout.arm, seen_.joint_rad);
  seen_.tool_force_N = {};
  for (int c = 0; c < d.ncon; ++c) {
    const bool first = p_.layout.hand_geom[static_cast<size_t>(d.contact[c].geom1)] != 0;
    const bool second = p_.layout.hand_geom[static_cast<size_t>(d.contact[c].geom2)] != 0;
    if (first == second) continue;
    mjtNum wrench[6], world[3];
    mj_contactForce(&m, &d, c, wrench);
    mju_rotVecMatT(world, wrench, d.contact[c].frame);  // pressed on geom2
    seen_.tool_force_N = seen_.tool_force_N + (second ? 1.0 : -1.0) * vec(world);
  }
  p_.task->look(m, d, noise_, seen_.sights);
}

// Positions of everything at this very state (the physics' own are one time step old), on a copy.
mjData& MujocoWorld::shown() const {
  if (shown_ == nullptr) shown_.reset(mj_makeData(p_.model.get()));
  if (!shown_fresh_) {
    const mjModel& m = *p_.model;
    std::copy_n(p_.data->qpos, m.nq, shown_->qpos);
    std::copy_n(p_.data->mocap_pos, 3 * m.nmocap, shown_->mocap_pos);
    std::copy_n(p_.data->mocap_quat, 4 * m.nmocap, shown_->mocap_quat);
    mj_kinematics(&m, shown_.get());
    mj_comPos(&m, shown_.get());
    mj_camlight(&m, shown_.get());
    shown_fresh_ = true;
  }
  return *shown_;
}

const std::vector<SceneFrame>& MujocoWorld::scene() const {
  if (!scene_fresh_) names_.frames(*p_.model, shown(), scene_);
  scene_fresh_ = true;
  return scene_;
}

const std::vector<Contact>& MujocoWorld::contacts() const {
  if (!contacts_fresh_) names_.contacts(*p_.model, *p_.data, contacts_);
  contacts_fresh_ = true;
  return contacts_;
}

Status MujocoWorld::render(const ViewRequest& view, Image& out) {
  const auto& all = info_.cameras;
  const auto camera = view.camera.empty() ? all.begin()
                                          : std::find_if(all.begin(), all.end(),
                                                         [&](const CameraInfo& c) { return c.name == view.camera; });
  if (camera == all.end())
    return fail(Errc::not_found, info_.name + "/camera." + std::string(view.camera), "the world has no such camera");
  if (view.width == 0 || view.height == 0 || view.width > view_pixels_max || view.height > view_pixels_max)
    return fail(Errc::invalid_argument, "view", "width and height must be 1.." + fmt::to_string(view_pixels_max));
  const auto index = static_cast<int>(camera - all.begin());
  p_.task->dress(*p_.model);
  MujocoRenderer& renderer = view.fine ? fine_renderer_ : renderer_;
  DROVER_TRY(renderer.draw(*p_.model, shown(), {index, view.width, view.height}, out));
  add_camera_noise(out, condition_.number("camera_noise"), {condition_.seed, frame_, static_cast<uint64_t>(index)});
  return {};
}

// Errors of the physics itself (never a bad policy): the episode is void.
Status MujocoWorld::health() const {
  for (const int warning : {mjWARN_BADQPOS, mjWARN_BADQVEL, mjWARN_BADQACC, mjWARN_CONTACTFULL, mjWARN_CNSTRFULL})
    if (p_.data->warning[warning].number > 0)
      return fail(Errc::internal, info_.name + "/physics", "diverged or ran out of room; the episode is void");
  return {};
}

uint64_t MujocoWorld::state_hash() const {
  const mjModel& m = *p_.model;
  const mjData& d = *p_.data;
  const auto bytes = [](const double* values, int count) {
    return std::as_bytes(std::span(values, static_cast<size_t>(count)));
  };
  const std::array<double, 3> scalars = {d.time, meter_.total().mechanical, meter_.total().copper};
  uint64_t hash = checksum64(bytes(scalars.data(), 3));
  hash = checksum64(bytes(d.qpos, m.nq), hash);
  return checksum64(bytes(d.qvel, m.nv), hash);
}

}  // namespace

Result<int> find_id(const mjModel& model, mjtObj type, const std::string& name) {
  const int id = mj_name2id(&model, type, name.c_str());
  if (id < 0)
    return fail(Errc::invalid_argument, "model/" + name,
                std::string("the model has no ") + mju_type2Str(type) + " of this name");
  return id;
}

Result<std::unique_ptr<MujocoTask>> make_mujoco_task(const WorldConfig& config, const mjModel& model) {
  using Maker = Result<std::unique_ptr<MujocoTask>> (*)(const WorldConfig&, const mjModel&);
  constexpr std::pair<std::string_view, Maker> tasks[] = {
      {"drawer_vase", make_drawer_vase_task},
      {"dish_place", make_dish_place_task},
  };
  std::string known;
  for (const auto& [name, make] : tasks) {
    if (config.task == name) return make(config, model);
    known.append(known.empty() ? "" : ", ").append(name);
  }
  return fail(Errc::not_found, config.name + "/task",
              "this build knows no task '" + config.task + "'; known: " + known);
}

Result<MujocoWorlds> MujocoWorlds::load(const std::string& folder, const MujocoOptions& options) {
  quiet_mujoco();
  DROVER_ASSIGN(WorldConfig config, load_world_config(folder + "/world.toml"));
  if (options.timestep_s > 0) config.timestep_s = options.timestep_s;
  const double ratio = config.control_period_s / config.timestep_s;
  if (ratio < 1 || std::abs(ratio - std::round(ratio)) > 1e-6)
    return fail(Errc::invalid_argument, "timestep_s", "the control period must be a whole number of time steps");
  char error[512] = "";
  mjModel* model = mj_loadXML(config.model_path.c_str(), nullptr, error, sizeof error);
  if (model == nullptr) return fail(Errc::invalid_argument, config.model_path, error);
  MujocoWorlds out;
  out.model_ = std::shared_ptr<const void>(model, [](mjModel* m) { mj_deleteModel(m); });
  out.config_ = std::make_shared<const WorldConfig>(std::move(config));
  return out;
}

Result<std::unique_ptr<World>> MujocoWorlds::make() const {
  const auto* base = static_cast<const mjModel*>(model_.get());
  MujocoWorld::Parts parts;
  parts.config = config_;
  parts.base = model_;
  parts.model.reset(mj_copyModel(nullptr, base));
  parts.data.reset(mj_makeData(base));
  DROVER_ASSIGN(parts.layout, read_layout(*base, *config_));
  DROVER_ASSIGN(parts.task, make_mujoco_task(*config_, *base));
  return std::unique_ptr<World>(std::make_unique<MujocoWorld>(std::move(parts)));
}

}  // namespace drover::robot
