// CDR and ros2msg schemas: layout against bytes worked out by hand and by another implementation, bounds, damage.
#include <doctest/doctest.h>

#include <random>

#include "storage/mcap/ros2.hpp"

using namespace drover;
using namespace drover::mcap;

namespace {

constexpr const char* kJointState =
    "std_msgs/Header header\n\nstring[] name\nfloat64[] position\nfloat64[] velocity\nfloat64[] effort\n"
    "================================================================================\n"
    "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
    "================================================================================\n"
    "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n";

JointState sample() {
  return {{7, 8}, "base", {"elbow", "wrist"}, {0.5, -1.25}, {1, 2}, {}};
}

Result<Ros2Values> decode(const char* text, const CdrWriter& payload) {
  return decode_ros2("demo/msg/T", text, payload.take());
}
double number(const Ros2Values& values, const char* path) {
  return std::get<double>(values.at(path));
}

}  // namespace

TEST_CASE("storage/mcap/cdr: values are aligned from behind the head, in either byte order") {
  const unsigned char little[] = {0, 1, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f};
  const unsigned char big[] = {0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 2, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0};
  auto in = CdrReader::open(std::as_bytes(std::span(little)));
  REQUIRE(in);
  CHECK(*in->read<uint8_t>() == 7);
  CHECK(*in->read<uint16_t>() == 0);  // at 2
  CHECK(*in->read<uint32_t>() == 2);
  CHECK(in->position() == 8);
  auto in_big = CdrReader::open(std::as_bytes(std::span(big)));
  REQUIRE(in_big);
  CHECK(*in_big->read<uint8_t>() == 7);
  CHECK(*in_big->read<int32_t>() == 2);
  CHECK(*in_big->read<double>() == 1.5);
  CHECK(in_big->read<uint8_t>().error().code == Errc::truncated);
}

TEST_CASE("storage/mcap/cdr: what the writer writes the reader reads, in both byte orders") {
  for (const auto order : {std::endian::little, std::endian::big}) {
    CdrWriter out(order);
    out.write(true);
    out.write(int16_t{-3});
    out.write(uint64_t{1} << 60);
    out.write_string("hello");
    out.write(1.5f);
    out.write_strings({"a", ""});
    out.write_sequence(std::vector<double>{1, 2});
    const Bytes payload = out.take();
    auto in = CdrReader::open(payload);
    REQUIRE(in);
    CHECK(*in->read<bool>());
    CHECK(*in->read<int16_t>() == -3);
    CHECK(*in->read<uint64_t>() == uint64_t{1} << 60);
    CHECK(*in->read_string() == "hello");
    CHECK(*in->read<float>() == 1.5f);
    CHECK(*in->read_strings() == std::vector<std::string>{"a", ""});
    CHECK(*in->read_sequence<double>() == std::vector<double>{1, 2});
    CHECK(in->remaining() == 0);
  }
}

TEST_CASE("storage/mcap/cdr: joint states round trip and agree with the generic decoder") {
  const Bytes payload = write_joint_state(sample());
  const auto typed = read_joint_state(payload);
  REQUIRE(typed);
  CHECK(*typed == sample());
  const auto values = decode_ros2("sensor_msgs/msg/JointState", kJointState, payload);
  REQUIRE(values);
  CHECK(number(*values, "header.stamp.nanosec") == 8);
  CHECK(std::get<std::vector<double>>(values->at("position")) == std::vector<double>{0.5, -1.25});
  CHECK(std::get<std::vector<std::string>>(values->at("name"))[1] == "wrist");
  JointState uneven = sample();
  uneven.velocity.pop_back();
  CHECK(read_joint_state(write_joint_state(uneven)).error().code == Errc::corrupt);
}

TEST_CASE("storage/mcap/cdr: cut and flipped payloads give errors, never more than there is") {
  std::mt19937 random(11);
  const Bytes payload = write_joint_state(sample());
  for (size_t size = 0; size < payload.size(); ++size) {
    CHECK(!read_joint_state(payload.slice(0, size)));
    CHECK(!decode_ros2("sensor_msgs/msg/JointState", kJointState, payload.slice(0, size)));
  }
  for (int i = 0; i < 2000; ++i) {
    std::string broken(payload.text());
    broken[random() % broken.size()] ^= static_cast<char>(1u << (random() % 8));
    (void)read_joint_state(as_bytes(broken));
    (void)decode_ros2("sensor_msgs/msg/JointState", kJointState, as_bytes(broken));
  }
  const unsigned char bomb[] = {0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4};
  CHECK(decode_ros2("d/T", "float64[] x", std::as_bytes(std::span(bomb))).error().code == Errc::truncated);
  CHECK(decode_ros2("d/T", "string x", std::as_bytes(std::span(bomb))).error().code == Errc::truncated);
  const unsigned char xcdr2[] = {0, 7, 0, 0, 1};
  CHECK(read_std_string(std::as_bytes(std::span(xcdr2))).error().code == Errc::unsupported_version);
}

TEST_CASE("storage/mcap/ros2msg: constants, comments, defaults and bounds are understood") {
  CdrWriter out;
  out.write(uint8_t{4});
  out.write_string("abc");
  out.write_sequence(std::vector<int16_t>{1, 2});
  const char* text =
      "# a comment\nint32 LIMIT=5\nstring NAME = \"x # y\"\r\nbyte level 3 # with default\n"
      "string<=5 label \"a=b\"\nint16[<=3] items [1, 2]\n";
  const auto values = decode(text, out);
  REQUIRE(values);
  CHECK(values->size() == 3);
  CHECK(number(*values, "level") == 4);
  CHECK(std::get<std::string>(values->at("label")) == "abc");
  CHECK(std::get<std::vector<double>>(values->at("items")) == std::vector<double>{1, 2});
  CHECK(decode("byte level\nstring<=2 label\nint16[] items", out).error().code == Errc::too_large);
  CHECK(decode("byte level\nstring label\nint16[<=1] items", out).error().code == Errc::too_large);
}

TEST_CASE("storage/mcap/ros2msg: nested messages, arrays of them and empty ones") {
  const char* text =
      "Point[] points\n================\nMSG: demo/Point\nfloat64 x\nbuiltin_interfaces/Duration age_s\nNothing none\n"
      "================\nMSG: demo/Nothing\nuint8 CONSTANT=1\n";
  CdrWriter out;
  out.write(uint32_t{2});
  for (const double x : {1.0, 2.0}) {
    out.write(x);
    out.write(int32_t{3});
    out.write(uint32_t{4});
    out.write(uint8_t{0});  // the byte an empty message takes
  }
  const auto values = decode(text, out);
  REQUIRE(values);
  CHECK(number(*values, "points[1].x") == 2);
  CHECK(number(*values, "points[1].age_s.sec") == 3);
  CHECK(values->size() == 6);
}

TEST_CASE("storage/mcap/ros2msg: schemas that cannot be read are refused with the reason") {
  const auto code = [](std::string_view text) { return Ros2Schema::parse("d/msg/T", text).error().code; };
  CHECK(code("Unknown x") == Errc::not_found);
  CHECK(code("float64") == Errc::corrupt);
  CHECK(code("float64[x] y") == Errc::corrupt);
  CHECK(code("float64[0] y") == Errc::corrupt);
  CHECK(code("float64<=3 y") == Errc::corrupt);
  CHECK(code("a//b y") == Errc::corrupt);
  CHECK(code("uint8 a\n---\nuint8 b") == Errc::corrupt);  // a service, but not an event
  CHECK(code(std::string(2 << 20, '#')) == Errc::too_large);
  CHECK(code("uint8 a\n==========\nno name") == Errc::corrupt);
  const auto recursive = Ros2Schema::parse("d/msg/T", "T again");
  REQUIRE(recursive);
  CHECK(recursive->decode(write_std_string("x")).error().code == Errc::too_large);
  CHECK(decode_ros2("d/msg/T", "wstring w", write_std_string("x")).error().code == Errc::unsupported_version);
}

TEST_CASE("storage/mcap/ros2msg: random schema text never crashes") {
  std::mt19937 random(12);
  const std::string alphabet = "ab/[]<=3 \n\t#-=MSG:float64string\"";
  for (int i = 0; i < 3000; ++i) {
    std::string text;
    for (size_t n = random() % 60; n > 0; --n) text += alphabet[random() % alphabet.size()];
    (void)decode_ros2("d/msg/T_Event", text, write_std_string("payload"));
  }
}
