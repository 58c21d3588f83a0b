#include "actors/robot/mujoco_render.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <string_view>

#include "actors/runtime/rng.hpp"

namespace drover::robot {
namespace {

constexpr int oversampling = 2;  // pixels drawn per pixel kept, each way: smooth edges
// Drawing in software is bound by the corners of shapes more than by pixels: see prepare().
constexpr int font_scale = mjFONTSCALE_50;
constexpr int decor_geoms_max = 64;

// MuJoCo keeps the driver's functions in global variables and fills them whenever a context is made.
std::mutex& making() {
  static std::mutex mutex;
  return mutex;
}

// Mean of oversampling^2 pixels; OpenGL's rows begin at the bottom.
void shrink(const std::vector<uint8_t>& from, Image& to) {
  const size_t row = size_t{3} * oversampling * to.width;
  for (size_t y = 0; y < to.height; ++y) {
    const uint8_t* in = from.data() + row * oversampling * (to.height - 1 - y);
    uint8_t* out = to.rgb.data() + size_t{3} * to.width * y;
    for (size_t x = 0; x < to.width; ++x, in += 6, out += 3)
      for (size_t c = 0; c < 3; ++c)
        out[c] = static_cast<uint8_t>((in[c] + in[c + 3] + in[row + c] + in[row + c + 3] + 2) / 4);
  }
}

}  // namespace

MujocoRenderer::~MujocoRenderer() {
  forget();
  if (scene_.geoms != nullptr) mjv_freeScene(&scene_);
}

void MujocoRenderer::forget() {
  if (made_ && gl_->bind()) {
    mjr_freeContext(&context_);
    gl_->release();
  }
  made_ = false;
}

// The context current here, with a buffer that is large enough.
Status MujocoRenderer::prepare(mjModel& model, int width, int height) {
  if (gl_ == nullptr) {
    DROVER_ASSIGN(gl_, OffscreenGl::make());
    mjv_defaultScene(&scene_);
    mjv_makeScene(&model, &scene_, model.ngeom + decor_geoms_max);
  }
  if (made_ && (context_.offWidth < width || context_.offHeight < height)) {
    width = std::max(width, context_.offWidth);
    height = std::max(height, context_.offHeight);
    forget();
  }
  DROVER_TRY(gl_->bind());
  if (made_) return {};
  std::lock_guard lock(making());
  model.vis.global.offwidth = width;
  model.vis.global.offheight = height;
  auto& quality = model.vis.quality;
  quality.offsamples = 0;
  quality.shadowsize = fine_ ? 2048 : 16;  // the coarse one draws none
  quality.numslices = fine_ ? 32 : 12;
  quality.numstacks = fine_ ? 16 : 8;
  quality.numquads = fine_ ? 4 : 2;
  mjr_defaultContext(&context_);
  mjr_makeContext(&model, &context_, font_scale);
  mjr_setBuffer(mjFB_OFFSCREEN, &context_);
  made_ = true;
  if (context_.currentBuffer != mjFB_OFFSCREEN) {
    gl_->release();
    forget();
    return fail(Errc::unavailable, "render/buffer", "the driver makes no off-screen buffer of this size");
  }
  return {};
}

Status MujocoRenderer::draw(mjModel& model, mjData& shown, const View& view, Image& out) {
  const int width = oversampling * static_cast<int>(view.width), height = oversampling * static_cast<int>(view.height);
  DROVER_TRY(prepare(model, width, height));
  mjvOption options;
  mjv_defaultOption(&options);
  options.flags[mjVIS_TEXTURE] = fine_ ? 1 : 0;
  std::fill(std::begin(options.sitegroup), std::end(options.sitegroup), mjtByte{0});
  mjvCamera camera;
  mjv_defaultCamera(&camera);
  camera.type = mjCAMERA_FIXED;
  camera.fixedcamid = view.camera;
  mjv_updateScene(&model, &shown, &options, nullptr, &camera, mjCAT_ALL, &scene_);
  scene_.flags[mjRND_SHADOW] = scene_.flags[mjRND_REFLECTION] = fine_ ? 1 : 0;
  const mjrRect rectangle = {0, 0, width, height};
  pixels_.resize(size_t{3} * static_cast<size_t>(width) * static_cast<size_t>(height));
  mjr_render(rectangle, &scene_, &context_);
  mjr_readPixels(pixels_.data(), nullptr, rectangle, &context_);
  gl_->release();
  out.width = view.width;
  out.height = view.height;
  out.rgb.resize(size_t{3} * view.width * view.height);
  shrink(pixels_, out);
  return {};
}

namespace {

void set3(float* to, float r, float g, float b) {
  to[0] = r;
  to[1] = g;
  to[2] = b;
}
void grey3(float* to, float value) {
  set3(to, value, value, value);
}

struct Lighting {
  std::string_view name;
  float ambient, head;  // of the light at the camera
  Vec3 colour;          // of the lamp
  Vec3 from_m;          // where the lamp hangs, beside the middle of the scene
};
constexpr std::array lightings = {
    Lighting{"normal", 0.34f, 0.32f, {0.62, 0.61, 0.59}, {-0.6, -0.9, 2.2}},
    Lighting{"bright", 0.46f, 0.40f, {0.80, 0.79, 0.76}, {-0.6, -0.6, 2.4}},
    Lighting{"dim", 0.14f, 0.12f, {0.28, 0.25, 0.20}, {-0.6, -0.9, 2.0}},
    Lighting{"low", 0.14f, 0.12f, {0.28, 0.25, 0.20}, {-0.6, -0.9, 2.0}},
    Lighting{"side", 0.16f, 0.06f, {0.80, 0.74, 0.62}, {0.2, -2.2, 0.7}},
    Lighting{"backlit", 0.20f, 0.02f, {0.95, 0.93, 0.90}, {1.9, 0.5, 1.3}},
};

}  // namespace

void apply_lighting(const Condition& condition, mjModel& m) {
  const std::string_view name = condition.choice("lighting", "normal");
  const auto* light =
      std::find_if(lightings.begin(), lightings.end(), [&](const Lighting& l) { return l.name == name; });
  if (light == lightings.end()) return;
  grey3(m.vis.headlight.ambient, light->ambient);
  grey3(m.vis.headlight.diffuse, light->head);
  grey3(m.vis.headlight.specular, 0.1f);
  if (m.nlight == 0) return;
  for (int i = 0; i < 3; ++i) {
    const auto k = static_cast<size_t>(i);
    m.light_diffuse[i] = static_cast<float>(light->colour[k]);
    m.light_specular[i] = static_cast<float>(0.4 * light->colour[k]);
    m.light_ambient[i] = 0;
    m.light_pos[i] = m.stat.center[i] + light->from_m[k];
    m.light_dir[i] = -light->from_m[k];
  }
  mju_normalize3(m.light_dir);
}

void apply_occluders(const Condition& condition, mjModel& m) {
  const int body = mj_name2id(&m, mjOBJ_BODY, "occluders");
  if (body < 0 || m.ncam == 0 || m.cam_bodyid[0] != 0) return;
  const double level = condition.number("occlusion_level"), distance_m = 0.45;
  runtime::Rng rng = runtime::Rng::stream(condition.seed, condition.world + "/occluders");
  mjtNum camera[9];
  mju_quat2Mat(camera, m.cam_quat);
  const double half_m = distance_m * std::tan(m.cam_fovy[0] * mjPI / 360), middle = 0.55;  // share of the picture
  const int first = m.body_geomadr[body], all = m.body_geomnum[body];
  const int count = level < 0.02 ? 0 : std::min(all, static_cast<int>(std::ceil(8 * level)));
  // Each covers its share of the middle.
  const double radius_m = middle * half_m * std::sqrt(4 * level / (mjPI * std::max(1, count)));
  for (int g = first; g < first + all; ++g) {
    if (g >= first + count) {
      m.geom_group[g] = 4;  // not drawn
      continue;
    }
    const double x = middle * half_m * (2 * rng.uniform() - 1), y = middle * half_m * (2 * rng.uniform() - 1);
    const double lean = mjPI * rng.uniform(), stretch = 1.2 + 0.5 * rng.uniform();
    for (int i = 0; i < 3; ++i)
      m.geom_pos[3 * g + i] = m.cam_pos[i] - m.body_pos[3 * body + i] + x * camera[3 * i] + y * camera[3 * i + 1] -
                              distance_m * camera[3 * i + 2];
    m.geom_sameframe[g] = 0;
    const mjtNum about[3] = {0, 0, 1};
    mjtNum turn[4];
    mju_axisAngle2Quat(turn, about, lean);
    mju_mulQuat(m.geom_quat + 4 * g, m.cam_quat, turn);
    m.geom_size[3 * g] = radius_m * stretch;
    m.geom_size[3 * g + 1] = radius_m / stretch;
    m.geom_size[3 * g + 2] = 0.004;
    m.geom_rbound[g] = std::max(m.geom_size[3 * g], m.geom_size[3 * g + 1]);
  }
}

// Four bytes of a hash are summed for each value: nearly normal, mean 510, variance 4 * (256^2 - 1) / 12.
void add_camera_noise(Image& image, double deviation, const NoiseKey& key) {
  if (!(deviation > 0)) return;
  const double sum_deviation = std::sqrt(4 * (256.0 * 256.0 - 1) / 12);
  const int scale = static_cast<int>(std::min(1.0, deviation) * 255 / sum_deviation * 65536);
  runtime::Rng seeds = runtime::Rng::stream(key.seed, "camera_noise");
  uint64_t state = seeds.next() + key.frame * 0x9E3779B97F4A7C15u + key.camera * 0xD1B54A32D192ED03u;
  const auto bytes_of = [&state] {  // SplitMix64
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  };
  const auto sum4 = [](uint32_t v) {
    return static_cast<int>((v & 255) + (v >> 8 & 255) + (v >> 16 & 255) + (v >> 24));
  };
  const auto add = [scale](uint8_t& value, int sum) {
    value = static_cast<uint8_t>(std::clamp(value + ((sum - 510) * scale + 32768) / 65536, 0, 255));
  };
  for (size_t i = 0; i + 1 < image.rgb.size(); i += 2) {
    const uint64_t bits = bytes_of();
    add(image.rgb[i], sum4(static_cast<uint32_t>(bits)));
    add(image.rgb[i + 1], sum4(static_cast<uint32_t>(bits >> 32)));
  }
  if (image.rgb.size() % 2 == 1) add(image.rgb.back(), sum4(static_cast<uint32_t>(bytes_of())));
}

}  // namespace drover::robot
