// Pictures of tags, by the names that ntfy and GitHub have for them: the common ones, as the whole table is 40 KB. Pure.

const PICTURES = {
  "+1": "👍", "-1": "👎", warning: "⚠️", rotating_light: "🚨", triangular_flag_on_post: "🚩", skull: "💀", facepalm: "🤦", no_entry: "⛔",
  no_entry_sign: "🚫", cd: "💿", computer: "💻", loudspeaker: "📢", tada: "🎉", partying_face: "🥳", heavy_check_mark: "✔️",
  white_check_mark: "✅", x: "❌", bell: "🔔", fire: "🔥", bug: "🐛", wrench: "🔧", hammer: "🔨", gear: "⚙️", lock: "🔒", unlock: "🔓",
  key: "🔑", rocket: "🚀", package: "📦", calendar: "📅", date: "📅", clock1: "🕐", hourglass: "⌛", stopwatch: "⏱️", alarm_clock: "⏰",
  email: "📧", envelope: "✉️", phone: "☎️", iphone: "📱", house: "🏠", office: "🏢", hospital: "🏥", car: "🚗", bus: "🚌", train: "🚆",
  airplane: "✈️", ship: "🚢", sunny: "☀️", cloud: "☁️", umbrella: "☔", snowflake: "❄️", zap: "⚡", droplet: "💧", thermometer: "🌡️",
  battery: "🔋", electric_plug: "🔌", bulb: "💡", mag: "🔍", link: "🔗", pushpin: "📌", memo: "📝", books: "📚", newspaper: "📰",
  moneybag: "💰", credit_card: "💳", chart_with_upwards_trend: "📈", chart_with_downwards_trend: "📉", bar_chart: "📊",
  information_source: "ℹ️", question: "❓", exclamation: "❗", heart: "❤️", star: "⭐", eyes: "👀", wave: "👋", clap: "👏", coffee: "☕",
  pizza: "🍕", birthday: "🎂", gift: "🎁", trophy: "🏆", green_circle: "🟢", yellow_circle: "🟡", red_circle: "🔴", arrow_up: "⬆️",
  arrow_down: "⬇️", floppy_disk: "💾", construction: "🚧", bomb: "💣", door: "🚪", dog: "🐶", cat: "🐱", movie_camera: "🎥", camera: "📷",
};

/** The picture that the tag names, "" for none. */
export const pictureOf = (tag) => (Object.hasOwn(PICTURES, tag) ? PICTURES[tag] : "");
