#include "actors/robot/mujoco_scene.hpp"

#include <algorithm>
#include <cmath>

namespace drover::robot {
namespace {

constexpr int rays_across = 17;  // of the grid of rays over one object
constexpr int group_shown_max = 2;

Vec3 vec(const mjtNum* v) {
  return {v[0], v[1], v[2]};
}
Mat3 mat(const mjtNum* m) {
  Mat3 out;
  std::copy_n(m, 9, out.begin());
  return out;
}
Vec3 unit(const Vec3& v) {
  return (1 / norm(v)) * v;
}
std::string_view text(const char* name) {
  return name == nullptr ? std::string_view() : name;
}

// A primitive shape that stands in the way of light: it collides, or is drawn. Meshes are drawn around such shapes.
bool opaque(const mjModel& m, int g) {
  const int type = m.geom_type[g];
  if (type == mjGEOM_MESH || type == mjGEOM_HFIELD || type == mjGEOM_PLANE) return false;
  if (m.geom_contype[g] != 0 || m.geom_conaffinity[g] != 0) return true;
  if (m.geom_group[g] > group_shown_max) return false;
  const int material = m.geom_matid[g];
  return (material >= 0 ? m.mat_rgba[4 * material + 3] : m.geom_rgba[4 * g + 3]) > 0.5f;
}

// Distance along pnt + t * dir to the shape, or -1.
double hit(const mjModel& m, const mjData& d, int g, const Vec3& from, const Vec3& dir) {
  const Vec3 to = vec(d.geom_xpos + 3 * g) - from;
  const double along = dot(to, dir) / dot(dir, dir), radius = m.geom_rbound[g];
  const Vec3 off = to - along * dir;
  if (dot(off, off) > radius * radius) return -1;
  return mju_rayGeom(d.geom_xpos + 3 * g, d.geom_xmat + 9 * g, m.geom_size + 3 * g, from.data(), dir.data(),
                     m.geom_type[g]);
}

double nearest(const mjModel& m, const mjData& d, const std::vector<int>& geoms, const Vec3& from, const Vec3& dir) {
  double best = -1;
  for (const int g : geoms)
    if (const double t = hit(m, d, g, from, dir); t >= 0 && (best < 0 || t < best)) best = t;
  return best;
}

struct Ball {
  Vec3 centre{};
  double radius = 0;
};
Ball around(const mjModel& m, const mjData& d, const std::vector<int>& geoms) {
  Ball ball;
  for (const int g : geoms)
    ball.centre = ball.centre + (1.0 / static_cast<double>(geoms.size())) * vec(d.geom_xpos + 3 * g);
  for (const int g : geoms)
    ball.radius = std::max(ball.radius, norm(vec(d.geom_xpos + 3 * g) - ball.centre) + m.geom_rbound[g]);
  return ball;
}

}  // namespace

MujocoScene::MujocoScene(const mjModel& m, int robot_root) {
  robot_body_.assign(static_cast<size_t>(m.nbody), 0);
  for (int b = robot_root; b < m.nbody; ++b)  // parents come before children
    robot_body_[static_cast<size_t>(b)] = b == robot_root || robot_body_[static_cast<size_t>(m.body_parentid[b])] != 0;
  add_bodies(m, true);
  add_bodies(m, false);
  add_sites(m);
  item_of_geom_.assign(static_cast<size_t>(m.ngeom), -1);
  for (int g = 0; g < m.ngeom; ++g) claim_geom(m, g);
  for (Item& item : items_)
    if (item.faces.empty()) item.faces = item.geoms;
}

void MujocoScene::claim_geom(const mjModel& m, int g) {
  int body = m.geom_bodyid[g];
  while (body != 0 && text(mj_id2name(&m, mjOBJ_BODY, body)).empty()) body = m.body_parentid[body];
  const std::string_view name = text(mj_id2name(&m, mjOBJ_GEOM, g));
  const auto named_after = [&name](const Item& item) {
    return name.starts_with(item.name) && name.substr(item.name.size()).starts_with("_");
  };
  Item* owner = nullptr;
  for (Item& item : items_)  // sites come last: they win
    if (item.body == body && (item.site < 0 || named_after(item))) owner = &item;
  if (owner == nullptr) return;
  item_of_geom_[static_cast<size_t>(g)] = static_cast<int>(owner - items_.data());
  if (!owner->is_object) return;
  owner->geoms.push_back(g);
  if (named_after(*owner)) owner->faces.push_back(g);
}

std::string_view MujocoScene::name_of_body(const mjModel& m, int body) const {
  while (body != 0) {
    const std::string_view name = text(mj_id2name(&m, mjOBJ_BODY, body));
    if (!name.empty()) return name;
    body = m.body_parentid[body];
  }
  return "world";
}

void MujocoScene::add_bodies(const mjModel& m, bool robot) {
  for (int b = 1; b < m.nbody; ++b) {
    const std::string_view name = text(mj_id2name(&m, mjOBJ_BODY, b));
    if (name.empty() || (robot_body_[static_cast<size_t>(b)] != 0) != robot) continue;
    const bool moves = m.body_weldid[b] != 0;
    items_.push_back({name, name_of_body(m, m.body_parentid[b]), b, -1, moves && !robot, {}, {}});
  }
}

void MujocoScene::add_sites(const mjModel& m) {
  for (int s = 0; s < m.nsite; ++s) {
    const std::string_view name = text(mj_id2name(&m, mjOBJ_SITE, s));
    const int body = m.site_bodyid[s];
    if (name.empty()) continue;
    const bool robot = robot_body_[static_cast<size_t>(body)] != 0;
    items_.push_back({name, name_of_body(m, body), body, s, !robot, {}, {}});
  }
}

void MujocoScene::frames(const mjModel& m, const mjData& shown, std::vector<SceneFrame>& out) const {
  out.clear();
  for (const Item& item : items_) {
    SceneFrame frame{item.name, item.parent, {}, item.is_object, 0};
    if (item.site >= 0)
      frame.pose = {vec(shown.site_xpos + 3 * item.site), mat(shown.site_xmat + 9 * item.site)};
    else
      frame.pose = {vec(shown.xpos + 3 * item.body), mat(shown.xmat + 9 * item.body)};
    if (item.is_object) frame.occluded = occluded(m, shown, item);
    out.push_back(frame);
  }
}

// Rays from the main camera through a grid over the object's bounding ball. Of those that would hit the object, the
// share that hits something else before, or lies outside of a square picture.
double MujocoScene::occluded(const mjModel& m, const mjData& d, const Item& item) const {
  std::vector<int> own, others;
  for (const int g : item.faces)
    if (opaque(m, g)) own.push_back(g);
  if (own.empty() || m.ncam == 0) return 0;
  const Ball ball = around(m, d, own);
  const Vec3 eye = vec(d.cam_xpos), axis = ball.centre - eye;
  const Mat3 camera = mat(d.cam_xmat);
  for (int g = 0; g < m.ngeom; ++g) {
    if (!opaque(m, g) || std::find(item.geoms.begin(), item.geoms.end(), g) != item.geoms.end()) continue;
    const Vec3 to = vec(d.geom_xpos + 3 * g) - eye;
    const Vec3 off = to - (dot(to, axis) / dot(axis, axis)) * axis;
    if (norm(off) <= m.geom_rbound[g] + ball.radius) others.push_back(g);
  }
  const Vec3 u = unit(cross(axis, std::abs(axis[2]) < 0.9 * norm(axis) ? Vec3{0, 0, 1} : Vec3{1, 0, 0}));
  const Vec3 v = unit(cross(axis, u));
  const double half = std::tan(m.cam_fovy[0] * mjPI / 360);
  int all = 0, seen = 0;
  for (int k = 0; k < rays_across * rays_across; ++k) {
    const auto offset = [&](int i) { return ball.radius * ((2.0 * i + 1) / rays_across - 1); };
    const Vec3 dir = axis + offset(k % rays_across) * u + offset(k / rays_across) * v;
    const double own_t = nearest(m, d, own, eye, dir);
    if (own_t < 0) continue;
    ++all;
    const Vec3 local = {dot(column(camera, 0), dir), dot(column(camera, 1), dir), -dot(column(camera, 2), dir)};
    if (local[2] <= 0 || std::max(std::abs(local[0]), std::abs(local[1])) > half * local[2]) continue;
    bool blocked = false;
    for (const int g : others) {
      const double t = hit(m, d, g, eye, dir);
      blocked = blocked || (t >= 0 && t < own_t);
    }
    seen += blocked ? 0 : 1;
  }
  return all == 0 ? 0 : 1 - static_cast<double>(seen) / all;
}

void MujocoScene::contacts(const mjModel& m, const mjData& d, std::vector<Contact>& out) const {
  out.clear();
  const auto name = [this](int geom) {
    const int item = item_of_geom_[static_cast<size_t>(geom)];
    return item < 0 ? std::string_view("world") : items_[static_cast<size_t>(item)].name;
  };
  for (int i = 0; i < d.ncon; ++i) {
    mjtNum wrench[6];
    mj_contactForce(&m, &d, i, wrench);
    if (!(wrench[0] > 0)) continue;
    std::string_view a = name(d.contact[i].geom1), b = name(d.contact[i].geom2);
    if (b < a) std::swap(a, b);
    auto pair = std::find_if(out.begin(), out.end(), [&](const Contact& c) { return c.a == a && c.b == b; });
    if (pair == out.end()) pair = out.insert(out.end(), Contact{a, b, 0, {}});
    pair->force_N += wrench[0];
    pair->point_m = pair->point_m + wrench[0] * vec(d.contact[i].pos);
  }
  for (Contact& contact : out) contact.point_m = (1 / contact.force_N) * contact.point_m;
  std::stable_sort(out.begin(), out.end(), [](const Contact& l, const Contact& r) { return l.force_N > r.force_N; });
  if (out.size() > World::contacts_max) out.resize(World::contacts_max);
}

std::vector<CameraInfo> MujocoScene::cameras(const mjModel& m, const mjData& shown) const {
  std::vector<CameraInfo> out;
  for (int c = 0; c < m.ncam; ++c) {
    CameraInfo info;
    info.name = text(mj_id2name(&m, mjOBJ_CAMERA, c));
    info.link = name_of_body(m, m.cam_bodyid[c]);
    const Pose camera = {vec(shown.cam_xpos + 3 * c), mat(shown.cam_xmat + 9 * c)};
    Pose link;  // of the body that carries the name
    const int body = mj_name2id(&m, mjOBJ_BODY, info.link.c_str());
    if (body > 0) link = {vec(shown.xpos + 3 * body), mat(shown.xmat + 9 * body)};
    info.in_link = relative(link, camera);
    info.fovy_deg = m.cam_fovy[c];
    info.near_m = m.vis.map.znear * m.stat.extent;
    out.push_back(info);
  }
  return out;
}

}  // namespace drover::robot
