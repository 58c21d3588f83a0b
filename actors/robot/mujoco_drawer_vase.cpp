// The task drawer_vase on MuJoCo: success is the drawer open with the vase upright; the vase breaks when it tilts
// beyond its limit, falls, or is hit harder than it bears by anything but what it stands on.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "actors/robot/mujoco_task.hpp"

namespace drover::robot {
namespace {

constexpr double latch_play_m = 0.001;     // how far a locked drawer gives (a stop: friction would creep)
constexpr double contact_quiet_s = 0.3;    // a touch after this long without one is a new one
constexpr double frame_force_N_min = 4.0;  // a brush is no collision
constexpr double near_m = 0.25;            // from here a handle is no longer mistaken
constexpr double far_m = 0.45;             // the sight's bias is full from here on

enum class Role : char { other, robot, frame, handle, vase, support };

class DrawerVase final : public MujocoTask {
 public:
  static Result<std::unique_ptr<MujocoTask>> make(const WorldConfig& config, const mjModel& m);

  void apply(const Condition& condition, mjModel& model) override;
  void place(const Condition& condition, const mjModel& model, mjData& data) override;
  void after_step(const mjModel& model, const mjData& data, EventSink& events) override;
  void look(const mjModel& model, const mjData& data, runtime::Rng& noise, std::vector<Sight>& sights) override;
  void dress(mjModel& model) override;
  Outcome outcome(const mjModel& model, const mjData& data) const override;

 private:
  void assign_roles(const mjModel& m);
  void watch_contacts(const mjModel& m, const mjData& d, EventSink& events);
  void watch_vase(const mjData& d, EventSink& events);
  void break_vase(const mjData& d, EventSink& events, const std::string& why);
  double tilt_rad(const mjData& d) const { return std::acos(std::clamp(d.xmat[9 * vase_body_ + 8], -1.0, 1.0)); }

  int drawer_joint_ = 0, drawer_body_ = 0, vase_joint_ = 0, vase_body_ = 0, handle_site_ = 0, tool_site_ = 0;
  std::vector<Role> roles_;
  std::vector<int> whole_, shards_;  // geoms that are seen only: of the vase as it was, and of a broken one
  double travel_m_ = 0, open_fraction_ = 0, tilt_max_rad_ = 0, fall_max_m_ = 0, hit_max_N_ = 0;

  // Of the episode:
  std::string kind_;
  Vec3 bias_m_{}, gross_m_{};
  double sight_noise_m_ = 0, occlusion_ = 0;
  double foot_z_m_ = 0;
  double last_vase_touch_s_ = -1e9, last_frame_touch_s_ = -1e9;
  bool broken_ = false, opened_ = false;
};

Result<std::unique_ptr<MujocoTask>> DrawerVase::make(const WorldConfig& config, const mjModel& m) {
  auto task = std::make_unique<DrawerVase>();
  DROVER_ASSIGN(task->drawer_joint_, find_id(m, mjOBJ_JOINT, "drawer"));
  DROVER_ASSIGN(task->vase_joint_, find_id(m, mjOBJ_JOINT, "vase"));
  DROVER_ASSIGN(task->handle_site_, find_id(m, mjOBJ_SITE, "handle"));
  DROVER_ASSIGN(task->tool_site_, find_id(m, mjOBJ_SITE, "tcp"));
  DROVER_TRY(find_id(m, mjOBJ_BODY, "cabinet"));
  DROVER_TRY(find_id(m, mjOBJ_GEOM, "ledge"));
  task->drawer_body_ = m.jnt_bodyid[task->drawer_joint_];
  task->vase_body_ = m.jnt_bodyid[task->vase_joint_];
  task->open_fraction_ = config.rule("drawer_open_fraction", 0.8);
  task->tilt_max_rad_ = config.rule("vase_tilt_deg_max", 45) * mjPI / 180;
  task->fall_max_m_ = config.rule("vase_fall_m_max", 0.02);
  task->hit_max_N_ = config.rule("vase_hit_N_max", 30);
  task->travel_m_ = m.jnt_range[2 * task->drawer_joint_ + 1];
  if (!(task->travel_m_ > 0)) return fail(Errc::invalid_argument, "model/drawer", "the drawer's joint needs a range");
  task->assign_roles(m);
  return std::unique_ptr<MujocoTask>(std::move(task));
}

void DrawerVase::assign_roles(const mjModel& m) {
  const int cabinet = mj_name2id(&m, mjOBJ_BODY, "cabinet");
  for (int g = 0; g < m.ngeom; ++g) {
    const int body = m.geom_bodyid[g];
    const char* name = mj_id2name(&m, mjOBJ_GEOM, g);
    const std::string_view text = name == nullptr ? "" : name;
    Role role = Role::other;
    if (text == "ledge" || body == 0 || (m.body_weldid[body] == 0 && body != cabinet && m.geom_contype[g] == 2))
      role = Role::support;
    else if (text.starts_with("handle_"))
      role = Role::handle;
    else if (body == cabinet || body == drawer_body_)
      role = Role::frame;
    else if (body == vase_body_)
      role = Role::vase;
    else if (m.geom_contype[g] == 1)
      role = Role::robot;
    roles_.push_back(role);
    if (text.starts_with("vase_whole_")) whole_.push_back(g);
    if (text.starts_with("vase_shard_")) shards_.push_back(g);
  }
}

void DrawerVase::apply(const Condition& c, mjModel& m) {
  kind_ = std::string(c.choice("handle", "bar_vertical"));
  const std::string keep = "handle_" + kind_ + "_";
  const double handle_friction = c.number("handle_friction", 1.2), vase_friction = c.number("vase_friction", 0.35);
  for (int g = 0; g < m.ngeom; ++g) {
    const Role role = roles_[static_cast<size_t>(g)];
    if (role == Role::vase) m.geom_friction[3 * g] = vase_friction;
    if (role != Role::handle) continue;
    m.geom_friction[3 * g] = handle_friction;
    if (std::string_view(mj_id2name(&m, mjOBJ_GEOM, g)).starts_with(keep)) continue;
    m.geom_contype[g] = m.geom_conaffinity[g] = 0;
    m.geom_rgba[4 * g + 3] = 0;
    m.geom_matid[g] = -1;
  }
  const int drawer_dof = m.jnt_dofadr[drawer_joint_];
  m.dof_frictionloss[drawer_dof] = c.number("drawer_friction_N", 4);
  if (c.number("drawer_locked") > 0) m.jnt_range[2 * drawer_joint_ + 1] = latch_play_m;
  const auto scale = [&m](int body, double factor) {
    m.body_mass[body] *= factor;
    for (int i = 0; i < 3; ++i) m.body_inertia[3 * body + i] *= factor;
  };
  scale(vase_body_, c.number("vase_mass_factor", 1));
  scale(drawer_body_, c.number("drawer_mass_kg", m.body_mass[drawer_body_]) / m.body_mass[drawer_body_]);
}

void DrawerVase::place(const Condition& c, const mjModel& m, mjData& d) {
  const int vase = m.jnt_qposadr[vase_joint_];
  d.qpos[vase] += c.number("vase_dx_m");
  d.qpos[vase + 1] += c.number("vase_dy_m");
  foot_z_m_ = d.qpos[vase + 2];
  bias_m_ = {c.number("sight_bias_x_m"), c.number("sight_bias_y_m"), c.number("sight_bias_z_m")};
  gross_m_ = {};
  if (c.number("sight_gross") > 0) {  // sideways or up, either sign
    runtime::Rng rng = runtime::Rng::stream(c.seed, c.world + "/gross_direction");
    gross_m_[1 + rng.below(2)] = (rng.chance(0.5) ? 1 : -1) * c.number("gross_m");
  }
  sight_noise_m_ = c.number("sight_noise_m");
  occlusion_ = c.number("occlusion_level");
  last_vase_touch_s_ = last_frame_touch_s_ = -1e9;
  broken_ = opened_ = false;
}

void DrawerVase::break_vase(const mjData& d, EventSink& events, const std::string& why) {
  if (broken_) return;
  broken_ = true;
  events.add({d.time, "vase_broken", "error", why});
}

void DrawerVase::watch_contacts(const mjModel& m, const mjData& d, EventSink& events) {
  for (int i = 0; i < d.ncon; ++i) {
    const Role a = roles_[static_cast<size_t>(d.contact[i].geom1)], b = roles_[static_cast<size_t>(d.contact[i].geom2)];
    const bool vase = a == Role::vase || b == Role::vase;
    if (vase && (a == Role::support || b == Role::support)) continue;
    const bool frame = (a == Role::robot && b == Role::frame) || (a == Role::frame && b == Role::robot);
    if (!vase && !frame) continue;
    mjtNum wrench[6];
    mj_contactForce(&m, &d, i, wrench);
    char text[64];
    std::snprintf(text, sizeof text, "%.1f N", wrench[0]);
    if (vase && wrench[0] > 0) {
      const bool by_robot = a == Role::robot || b == Role::robot;
      if (d.time - last_vase_touch_s_ > contact_quiet_s)
        events.add({d.time, "vase_contact", "warning", std::string(by_robot ? "arm, " : "drawer, ") + text});
      last_vase_touch_s_ = d.time;
      if (wrench[0] > hit_max_N_) break_vase(d, events, std::string("hit with ") + text);
    } else if (frame && wrench[0] > frame_force_N_min) {
      if (d.time - last_frame_touch_s_ > contact_quiet_s) events.add({d.time, "frame_collision", "warning", text});
      last_frame_touch_s_ = d.time;
    }
  }
}

void DrawerVase::watch_vase(const mjData& d, EventSink& events) {
  if (broken_) return;
  if (tilt_rad(d) > tilt_max_rad_) break_vase(d, events, "tilted");
  if (d.xpos[3 * vase_body_ + 2] < foot_z_m_ - fall_max_m_) break_vase(d, events, "fell");
}

void DrawerVase::after_step(const mjModel& m, const mjData& d, EventSink& events) {
  watch_contacts(m, d, events);
  watch_vase(d, events);
  if (!opened_ && d.qpos[m.jnt_qposadr[drawer_joint_]] >= open_fraction_ * travel_m_) {
    opened_ = true;
    events.add({d.time, "drawer_open", "info", ""});
  }
}

// Box-Muller; two uniforms per draw, always, so that streams stay in step.
double normal(runtime::Rng& rng) {
  const double radius = std::sqrt(-2 * std::log(1 - rng.uniform()));
  return radius * std::cos(2 * mjPI * rng.uniform());
}

void DrawerVase::look(const mjModel& m, const mjData& d, runtime::Rng& noise, std::vector<Sight>& sights) {
  sights.resize(2);
  const auto blur = [&] { return sight_noise_m_ * normal(noise); };
  const Vec3 handle = {d.site_xpos[3 * handle_site_], d.site_xpos[3 * handle_site_ + 1],
                       d.site_xpos[3 * handle_site_ + 2]};
  const Vec3 tool = {d.site_xpos[3 * tool_site_], d.site_xpos[3 * tool_site_ + 1], d.site_xpos[3 * tool_site_ + 2]};
  const double distance_m = norm(handle - tool);
  const Vec3 wrong = std::min(1.0, distance_m / far_m) * bias_m_ + (distance_m > near_m ? 1.0 : 0.0) * gross_m_;
  Sight& h = sights[0];
  h.name = "handle";
  h.kind = kind_;
  h.visible = noise.uniform() >= occlusion_;
  h.position_m = handle + wrong + Vec3{blur(), blur(), blur()};
  h.extension_m = d.qpos[m.jnt_qposadr[drawer_joint_]] + blur();
  Sight& v = sights[1];
  v.name = "vase";
  v.visible = noise.uniform() >= occlusion_;
  const mjtNum* at = d.xpos + 3 * vase_body_;
  v.position_m = Vec3{at[0], at[1], at[2]} + Vec3{blur(), blur(), blur()};
  v.tilt_rad = tilt_rad(d);
}

void DrawerVase::dress(mjModel& m) {
  if (!broken_) return;  // every reset brings the whole vase back
  for (const int g : whole_) m.geom_group[g] = 4;
  for (const int g : shards_) m.geom_group[g] = 1;
}

Outcome DrawerVase::outcome(const mjModel& m, const mjData& d) const {
  const double open = d.qpos[m.jnt_qposadr[drawer_joint_]] / travel_m_;
  Outcome out;
  out.broken = broken_;
  out.errors = broken_ ? 1 : 0;
  out.progress = std::clamp(open / open_fraction_, 0.0, 1.0);
  out.success = open >= open_fraction_ && !broken_;
  return out;
}

}  // namespace

Result<std::unique_ptr<MujocoTask>> make_drawer_vase_task(const WorldConfig& config, const mjModel& model) {
  return DrawerVase::make(config, model);
}

}  // namespace drover::robot
