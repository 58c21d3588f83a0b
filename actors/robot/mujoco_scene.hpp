// MujocoScene: what stands where, who touches whom, and what the main camera sees of each object. Internal to
// drover_robot_mujoco.
//
// Frames: every named body, the robot's first, then every named site that is not on the robot (a handle on a drawer).
// Objects are bodies that move and are not the robot's, and those sites. A site named NAME stands for the geoms of its
// body whose names begin with "NAME_"; a body NAME is looked for by its geoms NAME_*, or all where none is so named (a
// drawer by its front, not by what is in the cabinet). No graphics is used: occlusion is found by rays to primitive
// shapes.
#pragma once

#include <mujoco/mujoco.h>

#include <string>
#include <string_view>
#include <vector>

#include "actors/robot/world.hpp"

namespace drover::robot {

class MujocoScene {
 public:
  // `robot_root`: the body all of the robot hangs on. `model` must live as long as this (its names are used).
  MujocoScene(const mjModel& model, int robot_root);

  // `shown`: positions are up to date. `model` may differ from the first in sizes, colours and collision bits.
  void frames(const mjModel& model, const mjData& shown, std::vector<SceneFrame>& out) const;
  // Of the last physics step in `data`.
  void contacts(const mjModel& model, const mjData& data, std::vector<Contact>& out) const;
  std::vector<CameraInfo> cameras(const mjModel& model, const mjData& shown) const;

 private:
  struct Item {
    std::string_view name, parent;
    int body = 0;
    int site = -1;  // -1: the body itself
    bool is_object = false;
    std::vector<int> geoms;  // of an object: all
    std::vector<int> faces;  // those it is looked for by
  };
  std::string_view name_of_body(const mjModel& model, int body) const;
  void add_bodies(const mjModel& model, bool robot);
  void add_sites(const mjModel& model);
  void claim_geom(const mjModel& model, int geom);
  double occluded(const mjModel& model, const mjData& shown, const Item& item) const;

  std::vector<char> robot_body_;
  std::vector<Item> items_;
  std::vector<int> item_of_geom_;  // -1: the world
};

}  // namespace drover::robot
