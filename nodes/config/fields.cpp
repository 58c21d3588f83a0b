#include "nodes/config/fields.hpp"

#include <cmath>
#include <cstdio>
#include <filesystem>

#include "messages/check.hpp"
#include "nodes/config/nearest.hpp"
#include "nodes/config/units.hpp"

namespace drover::nodes {
namespace {

constexpr size_t list_items_max = 4096;
constexpr size_t doc_columns = 116;

std::string show_real(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.15g", value);
  std::string out = text;
  if (out.find_first_of(".en") == std::string::npos) out += ".0";
  return out;
}

// How a rejected value is quoted in a message: short and on one line.
std::string show_value(const Value& value) {
  switch (value.kind) {
    case Value::Kind::boolean:
      return value.boolean ? "true" : "false";
    case Value::Kind::integer:
      return std::to_string(value.integer);
    case Value::Kind::real:
      return show_real(value.real);
    case Value::Kind::text:
      return quote_toml(value.text.substr(0, 80));
    default:
      return std::string(value.kind_name());
  }
}

std::string must_be(std::string_view wanted, const Value& value) {
  std::string out = "must be ";
  out.append(wanted).append(", is ");
  const bool composite =
      value.kind == Value::Kind::list || value.kind == Value::Kind::table || value.kind == Value::Kind::time;
  if (composite) return out.append(value.kind_name());
  return out.append(value.kind_name()).append(" (").append(show_value(value)).append(")");
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (const std::string& part : parts) out.append(out.empty() ? "" : separator).append(part);
  return out;
}

// The value at a dotted path, or null. A non-table on the way is reported by unknown_keys.
const Value* find(const Value& table, std::string_view path) {
  const Value* at = &table;
  while (at != nullptr && at->kind == Value::Kind::table) {
    const size_t dot = path.find('.');
    at = at->member(path.substr(0, dot));
    if (dot == std::string_view::npos) return at;
    path.remove_prefix(dot + 1);
  }
  return nullptr;
}

std::string leaf(std::string_view key) {
  const size_t dot = key.rfind('.');
  return std::string(dot == std::string_view::npos ? key : key.substr(dot + 1));
}

std::string parent(std::string_view key) {
  const size_t dot = key.rfind('.');
  return dot == std::string_view::npos ? std::string() : std::string(key.substr(0, dot));
}

void append_comment(std::string& out, std::string_view text) {
  size_t column = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (column == 0 || column + 1 + end > doc_columns) {
      out.append(column == 0 ? "# " : "\n# ");
      column = 2;
    } else {
      out.append(" ");
      column += 1;
    }
    out.append(text.substr(0, end));
    column += end;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  out.append("\n");
}

void append_documented(std::string& out, const Field& field) {
  append_comment(out, field.description);
  std::string facts = field.kind;
  if (!field.allowed.empty()) facts.append(", ").append(field.allowed);
  facts.append(field.is_required ? ". Required." : ". Default: " + field.default_text + ".");
  append_comment(out, facts);
  if (field.is_required || !field.example_text.empty()) {
    out.append(leaf(field.key)).append(" = ").append(field.example_text).append("\n");
  } else {
    out.append("#").append(leaf(field.key)).append(" = ").append(field.default_text).append("\n");
  }
}

}  // namespace

// ---- Problems ------------------------------------------------------------------------------------

void Problems::add(const Place& place, std::string_view key, std::string_view what) {
  std::string text = place.file.empty() ? file_ : place.file;
  if (place.line > 0 && place.file != "--set") text.append(":").append(std::to_string(place.line));
  text.append(": ");
  if (!key.empty()) text.append(prefix_).append(key).append(": ");
  lines_.push_back({place, text.append(what)});
}

Place Problems::place_of(std::string_view key) const {
  for (std::string at = prefix_ + std::string(key); !at.empty(); at = parent(at)) {
    for (const auto& [name, place] : places_) {
      if (name == at) return place;
    }
  }
  return {file_, 0};
}

Status Problems::status() const {
  if (lines_.empty()) return {};
  auto sorted = lines_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Line& a, const Line& b) {
    const bool a_set = a.place.file == "--set";
    const bool b_set = b.place.file == "--set";
    return a_set != b_set ? b_set : a.place.line < b.place.line;
  });
  std::string text = std::to_string(sorted.size()) + (sorted.size() == 1 ? " problem" : " problems");
  for (const Line& line : sorted) text.append("\n  ").append(line.text);
  return fail(Errc::invalid_argument, file_, std::move(text));
}

// ---- Field ---------------------------------------------------------------------------------------

Field& Field::required(std::string toml) {
  is_required = true;
  example_text = std::move(toml);
  return *this;
}
Field& Field::example(std::string toml) {
  example_text = std::move(toml);
  return *this;
}
Field& Field::check(std::function<std::string(const std::string&)> text_rule) {
  rule = std::move(text_rule);
  return *this;
}

// ---- declaring -----------------------------------------------------------------------------------

void Fields::section(std::string name, std::string description) {
  prefix_ = name.empty() ? "" : name + ".";
  sections_.push_back({std::move(name), std::move(description)});
}

Field& Fields::add(std::string key, std::string kind, std::string description) {
  std::string full = prefix_ + key;
  for (const Field& field : fields_) DROVER_CHECK(field.key != full, "a config key is declared twice");
  Field& field = fields_.emplace_back();
  field.key = std::move(full);
  field.kind = std::move(kind);
  field.description = std::move(description);
  return field;
}

Field& Fields::integer(std::string key, IntegerAccess value, Range<int64_t> range, IntegerForm form,
                       const std::string& unit, std::string description) {
  range.min = std::max(range.min, value.type_min);
  range.max = std::min(range.max, value.type_max);
  const auto text_of = [form](int64_t v) {
    if (form == IntegerForm::duration) return format_duration_ms(v);
    return form == IntegerForm::size ? format_size_bytes(v) : std::to_string(v);
  };
  std::string kind = unit.empty() ? "Whole number" : "Whole number (" + unit + ")";
  if (form == IntegerForm::duration) kind = "Duration (\"250ms\", \"5s\", \"2h\", or whole ms)";
  if (form == IntegerForm::size) kind = "Size (\"64KiB\", \"2GiB\", or whole bytes)";
  const bool quoted = form != IntegerForm::number;
  Field& field = add(std::move(key), std::move(kind), std::move(description));
  field.allowed = range.max == std::numeric_limits<int64_t>::max() ? text_of(range.min) + " or more"
                                                                   : text_of(range.min) + " .. " + text_of(range.max);
  field.show = [value, text_of, quoted] { return quoted ? quote_toml(text_of(value.get())) : text_of(value.get()); };
  field.default_text = field.show();
  const std::string full = field.key;
  field.read = [full, value, range, form, text_of, allowed = field.allowed](const Value& v, Problems& problems) {
    std::optional<int64_t> number;
    if (v.kind == Value::Kind::integer) number = v.integer;
    if (v.kind == Value::Kind::text && form == IntegerForm::duration) number = parse_duration_ms(v.text);
    if (v.kind == Value::Kind::text && form == IntegerForm::size) number = parse_size_bytes(v.text);
    if (!number) {
      const std::string_view wanted = form == IntegerForm::duration ? "a duration such as \"250ms\", \"5s\" or whole ms"
                                      : form == IntegerForm::size   ? "a size such as \"64MiB\" or whole bytes"
                                                                    : "a whole number";
      return problems.add(v.place, full, must_be(wanted, v));
    }
    if (*number < range.min || *number > range.max) {
      return problems.add(v.place, full, "is " + text_of(*number) + ", allowed is " + allowed);
    }
    value.set(*number);
  };
  return field;
}

Field& Fields::real(std::string key, double& value, Range<double> range, std::string unit, std::string description) {
  Field& field = add(std::move(key), unit.empty() ? "Number" : "Number (" + unit + ")", std::move(description));
  field.allowed = show_real(range.min) + " .. " + show_real(range.max);
  field.show = [&value] { return show_real(value); };
  field.default_text = field.show();
  field.read = [&value, range, full = field.key, allowed = field.allowed](const Value& v, Problems& problems) {
    const bool is_number = v.kind == Value::Kind::integer || v.kind == Value::Kind::real;
    if (!is_number) return problems.add(v.place, full, must_be("a number", v));
    const double number = v.kind == Value::Kind::integer ? static_cast<double>(v.integer) : v.real;
    if (!std::isfinite(number) || number < range.min || number > range.max) {
      return problems.add(v.place, full, "is " + show_real(number) + ", allowed is " + allowed);
    }
    value = number;
  };
  return field;
}

Field& Fields::flag(std::string key, bool& value, std::string description) {
  Field& field = add(std::move(key), "true or false", std::move(description));
  field.show = [&value] { return std::string(value ? "true" : "false"); };
  field.default_text = field.show();
  field.read = [&value, full = field.key](const Value& v, Problems& problems) {
    if (v.kind != Value::Kind::boolean) return problems.add(v.place, full, must_be("true or false", v));
    value = v.boolean;
  };
  return field;
}

Field& Fields::text(std::string key, std::string& value, std::string description) {
  Field& field = add(std::move(key), "Text", std::move(description));
  field.show = [&value] { return quote_toml(value); };
  field.default_text = field.show();
  field.read = [&value, full = field.key](const Value& v, Problems& problems) {
    if (v.kind != Value::Kind::text) return problems.add(v.place, full, must_be("text", v));
    value = v.text;
  };
  return field;
}

Field& Fields::path(std::string key, std::string& value, std::string description) {
  Field& field = text(std::move(key), value, std::move(description));
  field.kind = "Path";
  field.resolve = [&value](const std::string& folder) {
    if (value.empty() || value.front() == '/') return;
    value = (std::filesystem::path(folder) / value).lexically_normal().string();
  };
  return field;
}

Field& Fields::texts(std::string key, std::vector<std::string>& value, std::string description) {
  Field& field = add(std::move(key), "List of texts", std::move(description));
  field.show = [&value] {
    std::vector<std::string> quoted;
    for (const std::string& item : value) quoted.push_back(quote_toml(item));
    return "[" + join(quoted, ", ") + "]";
  };
  field.default_text = field.show();
  field.read = [&value, full = field.key](const Value& v, Problems& problems) {
    if (v.kind != Value::Kind::list) return problems.add(v.place, full, must_be("a list of texts", v));
    if (v.items.size() > list_items_max) return problems.add(v.place, full, "has too many items");
    value.clear();
    for (const Value& item : v.items) {
      if (item.kind != Value::Kind::text) {
        problems.add(item.place, full + "[" + std::to_string(value.size()) + "]", must_be("text", item));
      }
      value.push_back(item.text);
    }
  };
  return field;
}

Field& Fields::choice_of(std::string key, std::vector<std::string> names, std::function<std::string()> get,
                         std::function<void(size_t)> set, std::string description) {
  std::vector<std::string> quoted;
  for (const std::string& name : names) quoted.push_back(quote_toml(name));
  Field& field = add(std::move(key), "One of " + join(quoted, ", "), std::move(description));
  field.show = [get] { return quote_toml(get()); };
  field.default_text = field.show();
  field.read = [names, set, full = field.key, all = join(quoted, ", ")](const Value& v, Problems& problems) {
    const auto at = std::find(names.begin(), names.end(), v.text);
    if (v.kind != Value::Kind::text) return problems.add(v.place, full, must_be("one of " + all, v));
    if (at == names.end()) return problems.add(v.place, full, "is " + show_value(v) + ", allowed is one of " + all);
    set(static_cast<size_t>(at - names.begin()));
  };
  return field;
}

Field& Fields::list(std::string key, ListForm form, Range<int64_t> count, std::string description) {
  Field& field = add(std::move(key), "List of tables", std::move(description));
  field.allowed = std::to_string(count.min) + " .. " + std::to_string(count.max) + " of them";
  field.items = std::move(form.keys);
  field.is_required = count.min > 0;
  field.default_text = "[]";
  field.show = [visit = form.visit] {
    std::vector<std::string> rows;
    visit([&rows](const Fields& item) {
      std::vector<std::string> parts;
      for (const auto& [name, value] : item.effective()) parts.push_back(name + " = " + value);
      rows.push_back("{ " + join(parts, ", ") + " }");
    });
    return "[" + join(rows, ", ") + "]";
  };
  field.resolve = [visit = form.visit](const std::string& folder) {
    visit([&folder](const Fields& item) { item.resolve_paths(folder); });
  };
  field.read = [form, count, full = field.key](const Value& v, Problems& problems) {
    const bool tables_only =
        std::all_of(v.items.begin(), v.items.end(), [](const Value& item) { return item.kind == Value::Kind::table; });
    if (v.kind != Value::Kind::list || !tables_only) {
      return problems.add(v.place, full, must_be("a list of tables ([[" + full + "]])", v));
    }
    if (std::cmp_less(v.items.size(), count.min) || std::cmp_greater(v.items.size(), count.max)) {
      return problems.add(v.place, full,
                          "has " + std::to_string(v.items.size()) + " items, allowed is " + std::to_string(count.min) +
                              " .. " + std::to_string(count.max));
    }
    form.clear();
    size_t index = 0;
    const std::string outer = problems.prefix();
    for (const Value& item : v.items) {
      problems.set_prefix(outer + full + "[" + std::to_string(index++) + "].");
      form.read_item(item, problems);
    }
    problems.set_prefix(outer);
  };
  return field;
}

// ---- reading -------------------------------------------------------------------------------------

void Fields::read(const Value& table, Problems& problems) const {
  for (const Section& section : sections_) {
    const Value* at = section.name.empty() ? nullptr : find(table, section.name);
    if (at != nullptr) problems.remember(section.name, at->place);
  }
  for (const Field& field : fields_) {
    const Value* value = find(table, field.key);
    if (value == nullptr) {
      if (!field.is_required) continue;
      const std::string example = field.example_text.empty() ? "" : ", for example " + field.example_text;
      const Place place = problems.prefix().empty() ? problems.place_of(field.key) : table.place;
      problems.add(place, field.key, "missing, and it has no default" + example);
      continue;
    }
    problems.remember(field.key, value->place);
    const size_t before = problems.count();
    field.read(*value, problems);
    if (problems.count() != before || !field.rule || value->kind != Value::Kind::text) continue;
    if (const std::string wrong = field.rule(value->text); !wrong.empty()) problems.add(value->place, field.key, wrong);
  }
  unknown_keys(table, "", problems);
}

void Fields::unknown_keys(const Value& table, const std::string& path, Problems& problems) const {
  for (const auto& [name, value] : table.members) {
    const std::string key = path.empty() ? name : path + "." + name;
    bool declared = false;
    bool holds_declared = false;
    for (const Field& field : fields_) {
      declared = declared || field.key == key;
      holds_declared = holds_declared || field.key.starts_with(key + ".");
    }
    if (declared) continue;
    if (holds_declared && value.kind == Value::Kind::table) {
      unknown_keys(value, key, problems);
      continue;
    }
    if (holds_declared) {
      problems.add(value.place, key, must_be("a table", value));
      continue;
    }
    std::vector<std::string> known;
    for (const Field& field : fields_) known.push_back(field.key);
    for (const Section& section : sections_) known.push_back(section.name);
    std::string near = nearest_name(key, known);
    for (const Field& field : fields_) {  // right name, wrong section
      if (near.empty() && leaf(field.key) == leaf(key)) near = field.key;
    }
    problems.add(value.place, key,
                 near.empty() ? "unknown key" : "unknown key; did you mean " + problems.prefix() + near + "?");
  }
}

void Fields::resolve_paths(const std::string& folder) const {
  for (const Field& field : fields_) {
    if (field.resolve) field.resolve(folder);
  }
}

// ---- showing -------------------------------------------------------------------------------------

std::vector<std::string> Fields::keys() const {
  std::vector<std::string> out;
  for (const Field& field : fields_) {
    if (field.items.empty()) out.push_back(field.key);
    for (const Field& item : field.items) out.push_back(field.key + "[]." + item.key);
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> Fields::effective() const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const Field& field : fields_) out.emplace_back(field.key, field.show());
  return out;
}

std::string Fields::document(std::string_view title) const {
  std::string out;
  append_comment(out, title);
  append_comment(out,
                 "Every key is here: keys that are set are needed or examples, keys after a bare # show their default. "
                 "Relative paths count from the folder of this file.");
  for (const Section& section : sections_) {
    out.append("\n");
    append_comment(out, section.description);
    out.append("[").append(section.name).append("]\n");
    for (const Field& field : fields_) {
      if (parent(field.key) != section.name || !field.items.empty()) continue;
      out.append("\n");
      append_documented(out, field);
    }
    for (const Field& field : fields_) {  // lists of tables come last: a [[header]] ends the section
      if (parent(field.key) != section.name || field.items.empty()) continue;
      out.append("\n");
      append_comment(out, field.description);
      append_comment(out, field.kind + ", " + field.allowed + ".");
      out.append("[[").append(field.key).append("]]\n");
      for (const Field& item : field.items) append_documented(out, item);
    }
  }
  return out;
}

}  // namespace drover::nodes
