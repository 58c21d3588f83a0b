// Building artifacts (see portable.hpp). Only + - * / and sqrt touch the numbers that are written, and this file is
// compiled without fused operations, so the text is the same on every machine.
#include "actors/datapack/portable.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/context.hpp"
#include "kernels/pool.hpp"

namespace drover::datapack {
namespace {

constexpr size_t grid_rows_max = 1024;  // of a track, in memory
constexpr size_t windows_max = 512;     // of a camera, in memory
constexpr double slices_max = 32;
constexpr double time_max_s = 1e7;  // four months
constexpr double coordinate_max_m = 1e6;
constexpr int time_digits = 6;
constexpr int pose_digits = 4;  // 0.1 mm; rotations within 0.01 degrees
constexpr int level_digits = 3;

struct TrackState {
  bool is_object = false;
  double last_t_s = 0;
  TrackSample last;
  std::vector<TrackSample> rows;  // at k * stride
};

struct Window {
  uint64_t index = 0;  // of the window at the present stride
  double first_t_s = 0;
  kernels::PoolSums sums;
};

struct CameraState {
  uint64_t last_base = 0;  // window at the first stride of the last frame taken
  std::vector<Window> windows;
};

Status bad(const char* field, std::string what) {
  return fail(Errc::invalid_argument, field, std::move(what));
}

Status in_range(const char* field, double value, double least, double most) {
  if (value >= least && value <= most) return {};
  return bad(field, "is out of range");
}

Status check_options(const PortableOptions& o) {
  DROVER_TRY(in_range("pose_stride_s", o.pose_stride_s, 0.01, 60));
  DROVER_TRY(in_range("frame_stride_s", o.frame_stride_s, 0.05, 60));
  DROVER_TRY(in_range("slice_s", o.slice_s, 0.1, 3600));
  DROVER_TRY(in_range("text_max_bytes", static_cast<double>(o.text_max_bytes), 16 << 10, portable_text_max_bytes));
  DROVER_TRY(in_range("occluded_at", o.occluded_at, 0, 1));
  DROVER_TRY(in_range("dynamic_at", o.dynamic_at, 0, 1));
  DROVER_TRY(in_range("moving_m_per_s", o.moving_m_per_s, 0, 1e3));
  return in_range("turning_rad_per_s", o.turning_rad_per_s, 0, 1e3);
}

// Printable ASCII without quotes and backslashes: names go into JSON as they are.
Status check_name(const char* field, std::string_view name) {
  if (name.empty()) return bad(field, "is empty");
  if (name.size() > PortableBuilder::name_max_bytes) return bad(field, "is longer than 64 bytes");
  for (const char c : name)
    if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') return bad(field, "has a character that names may not have");
  return {};
}

double dot(const std::array<double, 4>& a, const std::array<double, 4>& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
}

// Unit length. Errors: none; the caller has checked that the length is not 0.
std::array<double, 4> normalised(std::array<double, 4> q) {
  const double length = std::sqrt(dot(q, q));
  for (double& v : q) v /= length;
  return q;
}

// The same rotation, on the side of `near`.
std::array<double, 4> same_side(std::array<double, 4> q, const std::array<double, 4>& near) {
  if (dot(q, near) < 0)
    for (double& v : q) v = -v;
  return q;
}

TrackSample between(const TrackSample& a, const TrackSample& b, double share) {
  TrackSample out;
  for (size_t i = 0; i < 3; ++i) out.position_m[i] = a.position_m[i] + share * (b.position_m[i] - a.position_m[i]);
  for (size_t i = 0; i < 4; ++i)
    out.rotation_wxyz[i] = a.rotation_wxyz[i] + share * (b.rotation_wxyz[i] - a.rotation_wxyz[i]);
  out.rotation_wxyz = normalised(out.rotation_wxyz);  // never 0: both are on one side
  out.occluded = a.occluded + share * (b.occluded - a.occluded);
  return out;
}

// ---- text ----------------------------------------------------------------------------------------

// The number rounded to so many digits behind the point, without trailing zeros: "0.25", "-3", "0".
void put_fixed(std::string& out, double value, int digits) {
  constexpr std::array<int64_t, 7> scales{1, 10, 100, 1000, 10'000, 100'000, 1'000'000};
  const int64_t scale = scales[static_cast<size_t>(digits)];
  int64_t scaled = std::llround(value * static_cast<double>(scale));
  if (scaled < 0) out += '-', scaled = -scaled;
  out += std::to_string(scaled / scale);
  int64_t rest = scaled % scale;
  if (rest == 0) return;
  out += '.';
  for (int64_t place = scale / 10; rest > 0; place /= 10) {
    out += static_cast<char>('0' + rest / place);
    rest %= place;
  }
}

// The shortest text that reads back as the same float.
void put_float(std::string& out, float value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  out.append(text.data(), end);
}

void put_key(std::string& out, std::string_view name) {
  if (out.back() != '{') out += ',';
  out.append(1, '"').append(name).append("\":");
}

template <class T, class Put>
void put_list(std::string& out, const T& items, Put put) {
  out += '[';
  bool first = true;
  for (const auto& item : items) {
    if (!std::exchange(first, false)) out += ',';
    put(item);
  }
  out += ']';
}

// `text` of each row; a list of equal rows becomes a list of one.
void put_rows(std::string& out, const std::vector<std::string>& rows) {
  const bool constant = std::all_of(rows.begin(), rows.end(), [&](const auto& row) { return row == rows.front(); });
  const auto put = [&](const std::string& row) { out += row; };
  if (constant) return put_list(out, std::array{rows.front()}, put);
  put_list(out, rows, put);
}

// ---- tracks --------------------------------------------------------------------------------------

using Tracks = std::map<std::string, TrackState, std::less<>>;

std::string position_text(const TrackSample& s) {
  std::string out;
  put_list(out, s.position_m, [&](double v) { put_fixed(out, v, pose_digits); });
  return out;
}
std::string rotation_text(const TrackSample& s) {
  std::string out;
  put_list(out, s.rotation_wxyz, [&](double v) { put_fixed(out, v, pose_digits); });
  return out;
}
std::string occlusion_text(const TrackSample& s) {
  std::string out;
  put_fixed(out, s.occluded, level_digits);
  return out;
}

// Every `step`th row of a grid of `count` rows.
std::string tracks_text(const Tracks& tracks, double stride_s, size_t count, size_t step) {
  std::string out = R"({"scene_tracks_v1/version":["v1"])";
  put_key(out, "scene_tracks_v1/times_s");
  std::vector<double> times;
  for (size_t k = 0; k < count; k += step) times.push_back(static_cast<double>(k) * stride_s);
  put_list(out, times, [&](double t) { put_fixed(out, t, time_digits); });
  put_key(out, "scene_tracks_v1/objects");
  std::vector<std::string_view> objects;
  for (const auto& [name, track] : tracks)
    if (track.is_object) objects.push_back(name);
  put_list(out, objects, [&](std::string_view name) { out.append(1, '"').append(name).append(1, '"'); });
  const auto table = [&](const char* key, std::string (*text)(const TrackSample&)) {
    put_key(out, key);
    out += '{';
    for (const auto& [name, track] : tracks) {
      std::vector<std::string> rows;
      for (size_t k = 0; k < count; k += step) rows.push_back(text(track.rows[k]));
      put_key(out, name);
      put_rows(out, rows);
    }
    out += '}';
  };
  table("scene_tracks_v1/poses_t", position_text);
  table("scene_tracks_v1/poses_q_wxyz", rotation_text);
  table("scene_tracks_v1/occlusion", occlusion_text);
  return out += '}';
}

// ---- labels --------------------------------------------------------------------------------------

double rounded(double level) {
  return static_cast<double>(std::llround(level * 1000)) / 1000;
}

// Rows [first, last) of a grid. Steps lead from a row to the next; the grid's last row has none.
struct RowRange {
  size_t first = 0;
  size_t last = 0;
};

class Labels {
 public:
  Labels(const Tracks& tracks, const PortableOptions& options, double stride_s, size_t count)
      : options_(options), count_(count) {
    for (const auto& [name, track] : tracks)
      if (track.is_object) objects_.push_back(&track.rows);
    for (size_t k = 0; k + 1 < count; ++k) moving_.push_back(moves(k, stride_s));
  }
  bool empty() const { return objects_.empty(); }

  SliceLabel label(const RowRange& rows, double start_s, double end_s) const {
    SliceLabel out;
    out.start_s = start_s;
    out.end_s = end_s;
    for (const auto* object : objects_) {
      double sum = 0;
      for (size_t k = rows.first; k < rows.last; ++k) sum += (*object)[k].occluded;
      out.occlusion_level = std::max(out.occlusion_level, sum / static_cast<double>(rows.last - rows.first));
    }
    const size_t steps_end = std::min(rows.last, count_ - 1);
    size_t moving = 0;
    for (size_t k = rows.first; k < steps_end; ++k) moving += moving_[k] ? 1 : 0;
    if (steps_end > rows.first)
      out.motion_score = static_cast<double>(moving) / static_cast<double>(steps_end - rows.first);
    out.occlusion_level = rounded(out.occlusion_level);
    out.motion_score = rounded(out.motion_score);
    out.is_occluded = out.occlusion_level >= options_.occluded_at;
    out.is_dynamic = out.motion_score >= options_.dynamic_at;
    out.is_static = !out.is_dynamic;
    return out;
  }

 private:
  // Whether any object moves between row k and the next. Twice the sine of half the angle stands for the angle.
  bool moves(size_t k, double stride_s) const {
    for (const auto* object : objects_) {
      const TrackSample &a = (*object)[k], &b = (*object)[k + 1];
      double squares = 0;
      for (size_t i = 0; i < 3; ++i)
        squares += (b.position_m[i] - a.position_m[i]) * (b.position_m[i] - a.position_m[i]);
      if (std::sqrt(squares) > options_.moving_m_per_s * stride_s) return true;
      const double cosine = std::min(1.0, std::abs(dot(a.rotation_wxyz, b.rotation_wxyz)));
      if (2 * std::sqrt(1 - cosine * cosine) > options_.turning_rad_per_s * stride_s) return true;
    }
    return false;
  }

  const PortableOptions& options_;
  size_t count_;
  std::vector<const std::vector<TrackSample>*> objects_;
  std::vector<bool> moving_;
};

void put_label(std::string& out, const SliceLabel& label) {
  const auto number = [&](const char* key, double v, int digits) { put_key(out, key), put_fixed(out, v, digits); };
  const auto flag = [&](const char* key, bool v) { put_key(out, key), out += v ? "true" : "false"; };
  out += '{';
  number("start_s", label.start_s, time_digits);
  number("end_s", label.end_s, time_digits);
  number("occlusion_level", label.occlusion_level, level_digits);
  flag("is_occluded", label.is_occluded);
  number("motion_score", label.motion_score, level_digits);
  flag("is_dynamic", label.is_dynamic);
  flag("is_static", label.is_static);
}

// Slices are at least two rows long and at most slices_max; the last takes the rest.
std::string labels_text(const Labels& labels, const PortableOptions& options, double duration_s, double stride_s,
                        size_t count) {
  double slice_s = options.slice_s;
  while (slice_s < 2 * stride_s || duration_s / slice_s > slices_max) slice_s *= 2;
  const auto slices = static_cast<size_t>(std::max(1.0, std::floor(duration_s / slice_s + 0.5)));
  std::string out;
  put_label(out, labels.label({0, count}, 0, duration_s));
  const auto number = [&](const char* key, double v) { put_key(out, key), put_fixed(out, v, time_digits); };
  number("occluded_at", options.occluded_at);
  number("dynamic_at", options.dynamic_at);
  number("moving_m_per_s", options.moving_m_per_s);
  number("turning_rad_per_s", options.turning_rad_per_s);
  put_key(out, "slices");
  const auto row_at = [&](size_t slice) {
    return std::min(count, static_cast<size_t>(std::ceil(static_cast<double>(slice) * slice_s / stride_s)));
  };
  out += '[';
  for (size_t i = 0; i < slices; ++i) {
    const bool last = i + 1 == slices;
    if (i > 0) out += ',';
    put_label(out, labels.label({row_at(i), last ? count : row_at(i + 1)}, static_cast<double>(i) * slice_s,
                                last ? duration_s : static_cast<double>(i + 1) * slice_s));
    out += '}';
  }
  return out += "]}";
}

}  // namespace

// ---- builder -------------------------------------------------------------------------------------

struct PortableBuilder::State {
  PortableOptions options;
  std::unique_ptr<kernels::Context> context;
  Tracks tracks;
  double pose_stride_s = 0;
  std::map<std::string, CameraState, std::less<>> cameras;
  std::string main_camera;
  uint32_t frame_shift = 0;  // the present window is 2^shift first ones

  // Doubles the stride until `t_s` has a row.
  void make_room(double t_s) {
    while (t_s / pose_stride_s >= static_cast<double>(grid_rows_max - 1)) {
      pose_stride_s *= 2;
      for (auto& [name, track] : tracks) {
        for (size_t i = 1; 2 * i < track.rows.size(); ++i) track.rows[i] = track.rows[2 * i];
        track.rows.resize((track.rows.size() + 1) / 2);
      }
    }
  }

  uint64_t base_window(double t_s) const { return static_cast<uint64_t>(t_s / options.frame_stride_s); }

  // Pairs of windows become one, in every camera.
  void merge_windows() {
    ++frame_shift;
    for (auto& [name, camera] : cameras) {
      std::vector<Window> merged;
      for (Window& window : camera.windows) {
        window.index /= 2;
        if (merged.empty() || merged.back().index != window.index) {
          merged.push_back(window);
          continue;
        }
        kernels::PoolSums& sums = merged.back().sums;
        for (size_t i = 0; i < sums.sums.size(); ++i) sums.sums[i] += window.sums.sums[i];
        sums.frames += window.sums.frames;
      }
      camera.windows = std::move(merged);
    }
  }

  Status put_camera(std::string& out, const CameraState& camera) const {
    put_key(out, "times_s");
    put_list(out, camera.windows, [&](const Window& w) { put_fixed(out, w.first_t_s, time_digits); });
    put_key(out, "features");
    out += '[';
    for (const Window& window : camera.windows) {
      DROVER_ASSIGN(const auto features, kernels::pool_finish(window.sums));
      if (out.back() != '[') out += ',';
      put_list(out, features, [&](float v) { put_float(out, v); });
    }
    out += ']';
    return {};
  }

  Result<std::string> features_text() const {
    std::string out = "{";
    put_key(out, "encoder");
    out.append(1, '"').append(kernels::pool_v1_name).append(1, '"');
    put_key(out, "dim");
    out += std::to_string(kernels::pool_v1_dim);
    out += R"(,"pooling":"mean")";
    put_key(out, "stride_seconds");
    put_fixed(out, std::ldexp(options.frame_stride_s, static_cast<int>(frame_shift)), time_digits);
    const auto main = cameras.find(main_camera);
    put_key(out, "camera");
    out.append(1, '"').append(main->first).append(1, '"');
    DROVER_TRY(put_camera(out, main->second));
    if (cameras.size() == 1) return out += '}';
    put_key(out, "other_cameras");
    out += '{';
    for (auto at = cameras.begin(); at != cameras.end(); ++at) {
      if (at == main) continue;
      put_key(out, at->first);
      out += '{';
      DROVER_TRY(put_camera(out, at->second));
      out += '}';
    }
    return out += "}}";
  }

  // Windows are merged until the text fits the bound (or one row of each camera is left).
  Result<std::string> finish_features(double duration_s, size_t bytes_max) {
    for (auto at = cameras.begin(); at != cameras.end();) {
      std::erase_if(at->second.windows, [&](const Window& w) { return w.first_t_s > duration_s; });
      at = at->second.windows.empty() ? cameras.erase(at) : std::next(at);
    }
    if (cameras.empty()) return std::string();
    if (!options.main_camera.empty() && cameras.contains(options.main_camera)) main_camera = options.main_camera;
    if (!cameras.contains(main_camera)) main_camera = cameras.begin()->first;
    for (;;) {
      DROVER_ASSIGN(auto text, features_text());
      const bool last =
          std::all_of(cameras.begin(), cameras.end(), [](const auto& c) { return c.second.windows.size() == 1; });
      if (text.size() <= bytes_max || last) return text;
      merge_windows();
    }
  }

  // Rows are left out until the text fits the bound.
  Result<std::string> finish_tracks(size_t count, size_t bytes_max) const {
    for (size_t step = 1;; step *= 2) {
      std::string text = tracks_text(tracks, pose_stride_s, count, step);
      if (text.size() <= bytes_max) return text;
      if (step >= count)
        return fail(Errc::too_large, "scene_tracks_v1", "one row of all tracks is over text_max_bytes already");
    }
  }
};

PortableBuilder::PortableBuilder(std::unique_ptr<State> state) : state_(std::move(state)) {}
PortableBuilder::PortableBuilder(PortableBuilder&&) noexcept = default;
PortableBuilder& PortableBuilder::operator=(PortableBuilder&&) noexcept = default;
PortableBuilder::~PortableBuilder() = default;

Result<PortableBuilder> PortableBuilder::make(const PortableOptions& options) {
  DROVER_TRY(check_options(options));
  auto state = std::make_unique<State>();
  state->options = options;
  state->pose_stride_s = options.pose_stride_s;
  kernels::ContextOptions one_thread;
  one_thread.threads = 1;
  one_thread.backend = kernels::Backend::cpu;  // pooling is all it does: no reason to wake a GPU
  DROVER_ASSIGN(state->context, kernels::Context::make(one_thread));
  return PortableBuilder(std::move(state));
}

Status PortableBuilder::add_pose(const PoseSample& pose) {
  State& s = *state_;
  DROVER_TRY(check_name("name", pose.name));
  DROVER_TRY(in_range("t_s", pose.t_s, 0, time_max_s));
  DROVER_TRY(in_range("occluded", pose.occluded, 0, 1));
  for (const double v : pose.position_m) DROVER_TRY(in_range("position_m", v, -coordinate_max_m, coordinate_max_m));
  for (const double v : pose.rotation_wxyz) DROVER_TRY(in_range("rotation_wxyz", v, -1e3, 1e3));
  if (dot(pose.rotation_wxyz, pose.rotation_wxyz) < 1e-12) return bad("rotation_wxyz", "has no length");
  auto at = s.tracks.find(pose.name);
  if (at != s.tracks.end() && pose.t_s < at->second.last_t_s) return bad("t_s", "is before the last one of that name");
  if (at == s.tracks.end() && s.tracks.size() == tracks_max)
    return fail(Errc::too_large, "name", "there are 64 tracks already");
  s.make_room(pose.t_s);
  const bool is_new = at == s.tracks.end();
  if (is_new) at = s.tracks.emplace(pose.name, TrackState{}).first;
  TrackState& track = at->second;
  TrackSample sample{pose.position_m, normalised(pose.rotation_wxyz), pose.occluded};
  sample.rotation_wxyz =
      same_side(sample.rotation_wxyz, is_new ? TrackSample{}.rotation_wxyz : track.last.rotation_wxyz);
  track.is_object = pose.is_object;
  for (size_t k = track.rows.size();; ++k) {
    const double row_s = static_cast<double>(k) * s.pose_stride_s;
    if (row_s > pose.t_s) break;
    track.rows.push_back(is_new || pose.t_s <= track.last_t_s
                             ? sample
                             : between(track.last, sample, (row_s - track.last_t_s) / (pose.t_s - track.last_t_s)));
  }
  track.last = sample;
  track.last_t_s = pose.t_s;
  return {};
}

bool PortableBuilder::wants_frame(double t_s, std::string_view camera) const {
  if (!(t_s >= 0 && t_s <= time_max_s)) return false;
  const auto at = state_->cameras.find(camera);
  if (at == state_->cameras.end()) return state_->cameras.size() < cameras_max;
  return state_->base_window(t_s) > at->second.last_base;
}

Status PortableBuilder::add_frame(const FrameSample& frame) {
  State& s = *state_;
  DROVER_TRY(check_name("camera", frame.camera));
  DROVER_TRY(in_range("t_s", frame.t_s, 0, time_max_s));
  const auto at = s.cameras.find(frame.camera);
  if (at == s.cameras.end() && s.cameras.size() == cameras_max)
    return fail(Errc::too_large, "camera", "there are 4 cameras already");
  if (!wants_frame(frame.t_s, frame.camera)) return {};
  Window fresh;
  const kernels::FrameShape shape{frame.height, frame.width};
  if (at != s.cameras.end() && !(at->second.windows.front().sums.shape == shape))
    return bad("width", "is not that of the camera's first frame, or the height is not");
  DROVER_TRY(kernels::pool_add(*s.context, frame.rgb, shape, fresh.sums));
  if (fresh.sums.frames != 1) return bad("rgb", "is not one frame");
  CameraState& camera = at == s.cameras.end() ? s.cameras[std::string(frame.camera)] : at->second;
  if (s.main_camera.empty()) s.main_camera = frame.camera;
  camera.last_base = s.base_window(frame.t_s);
  fresh.first_t_s = frame.t_s;
  fresh.index = camera.last_base >> s.frame_shift;
  if (!camera.windows.empty() && camera.windows.back().index == fresh.index) {
    kernels::PoolSums& sums = camera.windows.back().sums;
    return kernels::pool_add(*s.context, frame.rgb, shape, sums);
  }
  camera.windows.push_back(fresh);
  while (camera.windows.size() > windows_max) s.merge_windows();
  return {};
}

Result<PortableArtifacts> PortableBuilder::finish(double duration_s) {
  State& s = *state_;
  if (!(duration_s > 0 && duration_s <= time_max_s))
    return fail(Errc::invalid_argument, "duration_s", "must be over 0 and at most 1e7");
  PortableArtifacts out;
  const size_t bytes_max = s.options.text_max_bytes;
  DROVER_ASSIGN(out.rgb_features_json, s.finish_features(duration_s, bytes_max / 2));
  if (s.tracks.empty()) return out;
  s.make_room(duration_s);
  const size_t count = static_cast<size_t>(duration_s / s.pose_stride_s) + 1;
  for (auto& [name, track] : s.tracks) track.rows.resize(count, track.last);
  const Labels labels(s.tracks, s.options, s.pose_stride_s, count);
  if (!labels.empty()) out.slice_labels_json = labels_text(labels, s.options, duration_s, s.pose_stride_s, count);
  const size_t used = out.rgb_features_json.size() + out.slice_labels_json.size();
  DROVER_ASSIGN(out.scene_tracks_json, s.finish_tracks(count, bytes_max - std::min(bytes_max, used)));
  return out;
}

}  // namespace drover::datapack
