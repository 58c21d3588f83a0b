// MujocoRenderer: pictures of one model, drawn off screen by MuJoCo's own renderer. Internal to drover_robot_mujoco.
//
// Also here: what of a condition is seen only, and changes no physics (light, occluders, the camera's noise).
#pragma once

#include <mujoco/mujoco.h>

#include <memory>

#include "actors/robot/condition.hpp"
#include "actors/robot/offscreen_gl.hpp"
#include "actors/robot/world.hpp"

namespace drover::robot {

class MujocoRenderer {
 public:
  struct View {
    int camera = 0;
    uint32_t width = 0;
    uint32_t height = 0;
  };

  // `fine`: shadows and rounder shapes, for people to look at.
  explicit MujocoRenderer(bool fine) : fine_(fine) {}
  MujocoRenderer(const MujocoRenderer&) = delete;
  MujocoRenderer& operator=(const MujocoRenderer&) = delete;
  ~MujocoRenderer();

  // Draws `shown` (positions of bodies, geoms, cameras and lights are up to date). The first call makes the context;
  // `model` must be the same model at every call, its colours, groups and lights may change. Of `model` only what
  // concerns the quality of pictures is written. Errors: unavailable.
  Status draw(mjModel& model, mjData& shown, const View& view, Image& out);

 private:
  Status prepare(mjModel& model, int width, int height);
  void forget();

  bool fine_;
  std::unique_ptr<OffscreenGl> gl_;
  mjvScene scene_{};
  mjrContext context_{};
  bool made_ = false;
  std::vector<uint8_t> pixels_;
};

// Writes the lighting profile of the condition into the model: normal | bright | dim (also low) | side | backlit.
// A profile that is not known leaves the model's own light.
void apply_lighting(const Condition& condition, mjModel& model);

// Places the geoms of the body "occluders", where the model has one, between the main camera and what stands in the
// middle of its picture, so that together they cover about occlusion_level of the middle. Shapes that are not needed
// are made invisible.
void apply_occluders(const Condition& condition, mjModel& model);

struct NoiseKey {
  uint64_t seed = 0;
  uint64_t frame = 0;  // control steps since reset
  uint64_t camera = 0;
};
// Adds noise of `deviation` (of full scale, 0..1) to every value: the same key, the same noise.
void add_camera_noise(Image& image, double deviation, const NoiseKey& key);

}  // namespace drover::robot
