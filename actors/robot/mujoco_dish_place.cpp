// The task dish_place on MuJoCo: success is the dish upright, still and let go in the rack's slot; the dish breaks when
// it topples, falls off the table, or hits anything but the hand harder than it bears.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "actors/robot/mujoco_task.hpp"

namespace drover::robot {
namespace {

constexpr double contact_quiet_s = 0.3;        // a touch after this long without one is a new one
constexpr double knock_N_min = 40.0;           // a dish set down well stays below
constexpr double collision_N_min = 6.0;        // a brush is no collision
constexpr double still_m_per_s_max = 0.02;     // a dish that stands
constexpr double near_m = 0.15, far_m = 0.45;  // the eye's bias grows between these distances
constexpr double mistaken_m_min = 0.28;        // from nearer the dish is no longer taken for something else

constexpr double drop_m_min = 0.012;  // less is how things are let go

constexpr int group_seen = 1, group_hidden = 4;  // of geoms

std::string_view geom_name(const mjModel& m, int geom) {
  const char* name = mj_id2name(&m, mjOBJ_GEOM, geom);
  return name == nullptr ? "" : name;
}

enum class Role : char { other, robot, rack, dish, support };

class DishPlace final : public MujocoTask {
 public:
  static Result<std::unique_ptr<MujocoTask>> make(const WorldConfig& config, const mjModel& m);

  void apply(const Condition& condition, mjModel& model) override;
  void place(const Condition& condition, const mjModel& model, mjData& data) override;
  void after_step(const mjModel& model, const mjData& data, EventSink& events) override;
  void look(const mjModel& model, const mjData& data, runtime::Rng& noise, std::vector<Sight>& sights) override;
  void dress(mjModel& model) override;
  Outcome outcome(const mjModel& model, const mjData& data) const override;

 private:
  struct Touches {  // of the dish, in one step
    bool hand = false, ground = false;
    double hit_N = 0;  // by anything but the hand, all contacts together
  };

  void assign_roles(const mjModel& m);
  Touches watch_contacts(const mjModel& m, const mjData& d, EventSink& events);
  void watch_hold(const mjData& d, const Touches& touches, EventSink& events);
  void break_dish(const mjData& d, EventSink& events, const std::string& why);
  Vec3 dish_m(const mjData& d) const;
  Vec3 slot_m(const mjData& d) const;
  double tilt_rad(const mjData& d) const { return std::acos(std::clamp(d.xmat[9 * dish_body_ + 8], -1.0, 1.0)); }
  double off_m(const mjData& d) const;
  bool placed(const mjModel& m, const mjData& d) const;

  int dish_joint_ = 0, dish_body_ = 0, rack_body_ = 0, slot_site_ = 0, tool_site_ = 0;
  std::vector<Role> roles_;
  WorldConfig config_;
  double off_max_m_ = 0, tilt_max_rad_ = 0, topple_rad_ = 0, fall_m_ = 0, hit_max_N_ = 0;

  // Of the episode:
  std::string kind_;
  Vec3 dish_bias_m_{}, rack_bias_m_{}, gross_m_{};
  double sight_noise_m_ = 0, occlusion_ = 0;
  double table_z_m_ = 0, off_start_m_ = 1;
  double last_knock_s_ = -1e9, last_collision_s_ = -1e9;
  bool broken_ = false, was_placed_ = false, lifted_ = false, touched_by_hand_ = false;
};

Result<std::unique_ptr<MujocoTask>> DishPlace::make(const WorldConfig& config, const mjModel& m) {
  auto task = std::make_unique<DishPlace>();
  DROVER_ASSIGN(task->dish_joint_, find_id(m, mjOBJ_JOINT, "dish"));
  DROVER_ASSIGN(task->rack_body_, find_id(m, mjOBJ_BODY, "rack"));
  DROVER_ASSIGN(task->slot_site_, find_id(m, mjOBJ_SITE, "slot"));
  DROVER_ASSIGN(task->tool_site_, find_id(m, mjOBJ_SITE, "tcp"));
  DROVER_TRY(find_id(m, mjOBJ_GEOM, "table"));
  task->dish_body_ = m.jnt_bodyid[task->dish_joint_];
  task->config_ = config;
  task->off_max_m_ = config.rule("placed_m_max", 0.03);
  task->tilt_max_rad_ = config.rule("placed_tilt_deg_max", 3) * mjPI / 180;
  task->topple_rad_ = config.rule("broken_tilt_deg_min", 60) * mjPI / 180;
  task->fall_m_ = config.rule("broken_fall_m_min", 0.05);
  task->hit_max_N_ = config.rule("broken_hit_N_min", 120);
  task->assign_roles(m);
  return std::unique_ptr<MujocoTask>(std::move(task));
}

void DishPlace::assign_roles(const mjModel& m) {
  for (int g = 0; g < m.ngeom; ++g) {
    const int body = m.geom_bodyid[g];
    Role role = Role::other;
    if (body == dish_body_)
      role = Role::dish;
    else if (body == rack_body_)
      role = Role::rack;
    else if (m.body_weldid[body] == 0 && m.geom_contype[g] == 2)
      role = Role::support;
    else if (m.geom_contype[g] == 1)
      role = Role::robot;
    roles_.push_back(role);
  }
}

void DishPlace::apply(const Condition& c, mjModel& m) {
  kind_ = std::string(c.choice("dish", "cup"));
  const std::string keep = "dish_" + kind_ + "_";
  const std::string friction(c.choice("friction", "medium")), mass(c.choice("mass", "light"));
  const double mu = config_.rule("friction_" + friction, 0.5) * c.number("friction_factor", 1);
  for (int g = 0; g < m.ngeom; ++g) {
    if (roles_[static_cast<size_t>(g)] != Role::dish) continue;
    m.geom_friction[3 * g] = mu;
    const std::string_view name = geom_name(m, g);
    if (!name.starts_with("dish_") || name == "dish_foot" || name.starts_with(keep)) continue;
    m.geom_contype[g] = m.geom_conaffinity[g] = 0;
    m.geom_group[g] = group_hidden;
  }
  const double factor =
      config_.rule("mass_" + mass + "_kg", 0.3) * c.number("mass_factor", 1) / m.body_mass[dish_body_];
  m.body_mass[dish_body_] *= factor;
  for (int i = 0; i < 3; ++i) m.body_inertia[3 * dish_body_ + i] *= factor;
  m.body_pos[3 * rack_body_] += c.number("rack_dx_m");
  m.body_pos[3 * rack_body_ + 1] += c.number("rack_dy_m");
}

void DishPlace::place(const Condition& c, const mjModel& m, mjData& d) {
  mjtNum* dish = d.qpos + m.jnt_qposadr[dish_joint_];
  dish[0] += c.number("dish_dx_m");
  dish[1] += c.number("dish_dy_m");
  const double half_yaw = 0.5 * c.number("dish_yaw_rad");
  const std::array<mjtNum, 4> turn = {std::cos(half_yaw), 0, 0, std::sin(half_yaw)};
  std::copy(turn.begin(), turn.end(), dish + 3);
  table_z_m_ = dish[2];
  off_start_m_ = std::hypot(dish[0] - m.body_pos[3 * rack_body_], dish[1] - m.body_pos[3 * rack_body_ + 1]);
  dish_bias_m_ = {c.number("dish_bias_x_m"), c.number("dish_bias_y_m"), c.number("dish_bias_z_m")};
  rack_bias_m_ = {c.number("rack_bias_x_m"), c.number("rack_bias_y_m"), 0};
  gross_m_ = {};
  if (c.number("sight_gross") > 0) {
    runtime::Rng rng = runtime::Rng::stream(c.seed, c.world + "/gross_direction");
    gross_m_[rng.below(2)] = (rng.chance(0.5) ? 1 : -1) * c.number("gross_m");
  }
  sight_noise_m_ = c.number("sight_noise_m");
  occlusion_ = c.number("occlusion_level");
  last_knock_s_ = last_collision_s_ = -1e9;
  broken_ = was_placed_ = lifted_ = touched_by_hand_ = false;
}

// ---- what happens

void DishPlace::break_dish(const mjData& d, EventSink& events, const std::string& why) {
  if (broken_) return;
  broken_ = true;
  events.add({d.time, "dish_broken", "error", why});
}

DishPlace::Touches DishPlace::watch_contacts(const mjModel& m, const mjData& d, EventSink& events) {
  Touches out;
  for (int i = 0; i < d.ncon; ++i) {
    const Role a = roles_[static_cast<size_t>(d.contact[i].geom1)], b = roles_[static_cast<size_t>(d.contact[i].geom2)];
    const bool dish = a == Role::dish || b == Role::dish, robot = a == Role::robot || b == Role::robot;
    if (!dish && !robot) continue;
    mjtNum wrench[6];
    mj_contactForce(&m, &d, i, wrench);
    const double force_N = wrench[0];
    if (!(force_N > 0)) continue;
    if (dish && robot) {
      out.hand = true;
    } else if (dish) {
      out.ground = true;
      out.hit_N += force_N;
    } else if (force_N > collision_N_min) {
      char text[64];
      std::snprintf(text, sizeof text, "%s, %.1f N", a == Role::rack || b == Role::rack ? "rack" : "table", force_N);
      if (d.time - last_collision_s_ > contact_quiet_s) events.add({d.time, "rack_collision", "warning", text});
      last_collision_s_ = d.time;
    }
  }
  return out;
}

// From the hand into the air and not onto anything: dropped.
void DishPlace::watch_hold(const mjData& d, const Touches& touches, EventSink& events) {
  if (touches.hand && !touches.ground) lifted_ = true;
  if (touches.ground) lifted_ = false;
  if (!lifted_ || touches.hand) return;
  lifted_ = false;
  const double height_m = dish_m(d)[2] - table_z_m_;
  if (height_m < drop_m_min) return;
  char text[64];
  std::snprintf(text, sizeof text, "from %.3f m", height_m);
  events.add({d.time, "dish_dropped", "warning", text});
}

void DishPlace::after_step(const mjModel& m, const mjData& d, EventSink& events) {
  const Touches touches = watch_contacts(m, d, events);
  touched_by_hand_ = touches.hand;
  watch_hold(d, touches, events);
  if (touches.hit_N > knock_N_min) {
    char text[64];
    std::snprintf(text, sizeof text, "%.1f N", touches.hit_N);
    if (d.time - last_knock_s_ > contact_quiet_s) events.add({d.time, "dish_knock", "warning", text});
    last_knock_s_ = d.time;
    if (touches.hit_N > hit_max_N_) break_dish(d, events, std::string("hit with ") + text);
  }
  if (tilt_rad(d) > topple_rad_) break_dish(d, events, "toppled");
  if (dish_m(d)[2] < table_z_m_ - fall_m_) break_dish(d, events, "fell");
  if (!was_placed_ && placed(m, d)) {
    was_placed_ = true;
    events.add({d.time, "dish_placed", "info", ""});
  }
}

// ---- what is seen

// Box-Muller; two uniforms per draw, always, so that streams stay in step.
double normal(runtime::Rng& rng) {
  const double radius = std::sqrt(-2 * std::log(1 - rng.uniform()));
  return radius * std::cos(2 * mjPI * rng.uniform());
}

void DishPlace::look(const mjModel&, const mjData& d, runtime::Rng& noise, std::vector<Sight>& sights) {
  sights.resize(2);
  const Vec3 tool = {d.site_xpos[3 * tool_site_], d.site_xpos[3 * tool_site_ + 1], d.site_xpos[3 * tool_site_ + 2]};
  const auto seen = [&](const Vec3& truth, const Vec3& bias, const Vec3& gross) {
    const double distance_m = norm(truth - tool);
    const double share = std::clamp((distance_m - near_m) / (far_m - near_m), 0.0, 1.0);
    const Vec3 wrong = share * bias + (distance_m > mistaken_m_min ? 1.0 : 0.0) * gross;
    Vec3 out = truth + wrong;
    for (double& x : out) x += sight_noise_m_ * normal(noise);
    return out;
  };
  Sight& dish = sights[0];
  dish.name = "dish";
  dish.kind = kind_;
  dish.visible = noise.uniform() >= occlusion_;
  dish.position_m = seen(dish_m(d), dish_bias_m_, gross_m_);
  dish.tilt_rad = tilt_rad(d);
  Sight& slot = sights[1];
  slot.name = "slot";
  slot.visible = noise.uniform() >= occlusion_;
  slot.position_m = seen(slot_m(d), rack_bias_m_, {});
}

// A broken dish lacks a piece of its wall; every reset brings the whole one back.
void DishPlace::dress(mjModel& m) {
  if (!broken_) return;
  for (int g = m.body_geomadr[dish_body_]; g < m.body_geomadr[dish_body_] + m.body_geomnum[dish_body_]; ++g) {
    const std::string_view name = geom_name(m, g);
    if (name.starts_with("shard_")) m.geom_group[g] = group_seen;
    if (name.ends_with("_wall7") || name.ends_with("_wall8")) m.geom_group[g] = group_hidden;
  }
}

// ---- what counts

Vec3 DishPlace::dish_m(const mjData& d) const {
  return {d.xpos[3 * dish_body_], d.xpos[3 * dish_body_ + 1], d.xpos[3 * dish_body_ + 2]};
}

Vec3 DishPlace::slot_m(const mjData& d) const {
  return {d.site_xpos[3 * slot_site_], d.site_xpos[3 * slot_site_ + 1], d.site_xpos[3 * slot_site_ + 2]};
}

double DishPlace::off_m(const mjData& d) const {
  const Vec3 way = dish_m(d) - slot_m(d);
  return std::hypot(way[0], way[1]);
}

bool DishPlace::placed(const mjModel& m, const mjData& d) const {
  const mjtNum* speed = d.qvel + m.jnt_dofadr[dish_joint_];
  return !broken_ && !touched_by_hand_ && off_m(d) < off_max_m_ && tilt_rad(d) < tilt_max_rad_ &&
         std::hypot(speed[0], speed[1], speed[2]) < still_m_per_s_max;
}

Outcome DishPlace::outcome(const mjModel& m, const mjData& d) const {
  Outcome out;
  out.broken = broken_;
  out.errors = broken_ ? 1 : 0;
  out.success = placed(m, d);
  out.progress = out.success ? 1.0 : std::clamp(1 - off_m(d) / off_start_m_, 0.0, 1.0);
  return out;
}

}  // namespace

Result<std::unique_ptr<MujocoTask>> make_dish_place_task(const WorldConfig& config, const mjModel& model) {
  return DishPlace::make(config, model);
}

}  // namespace drover::robot
