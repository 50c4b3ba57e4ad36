package gst

// state is a state of India with its code for the tax.
type state struct{ code, name string }

var states = []state{
	{"27", "Maharashtra"}, {"29", "Karnataka"}, {"33", "Tamil Nadu"}, {"24", "Gujarat"}, {"19", "West Bengal"}, {"07", "Delhi"},
	{"08", "Rajasthan"}, {"09", "Uttar Pradesh"}, {"32", "Kerala"}, {"36", "Telangana"}, {"03", "Punjab"}, {"06", "Haryana"},
	{"10", "Bihar"}, {"18", "Assam"}, {"21", "Odisha"}, {"01", "Jammu & Kashmir"},
}

// item is something sold: its code of the Harmonised System (text: some begin with 0), the tax in hundredths of a
// percent, the price in paise, and the most of it in one sale (in thousandths of the unit where it comes in fractions).
type item struct {
	hsn, name, unit string
	gst, paise      int64
	most            int
	fractions       bool
}

var items = []item{
	{"0402", "Milk powder 1 kg", "PAC", 500, 42000, 200, false},
	{"09024020", "Tea, black, Assam", "KGS", 500, 38550, 500_000, true},
	{"1006", "Rice, basmati", "KGS", 0, 9475, 2_000_000, true},
	{"0713", "Toor dal", "KGS", 0, 16250, 800_000, true},
	{"1905", "Biscuits 12 x 100 g", "CTN", 1800, 36000, 150, false},
	{"25232930", "Cement OPC 53, 50 kg", "BAG", 2800, 39950, 600, false},
	{"3004", "Paracetamol 500 mg", "BOX", 1200, 18733, 300, false},
	{"48202000", "Exercise books 172 p.", "DOZ", 1200, 64000, 120, false},
	{"5208", "Cotton fabric 44\"", "MTR", 500, 21199, 400_000, true},
	{"6109", "T-shirt, cotton, M", "PCS", 500, 34900, 250, false},
	{"7113", "Gold ornaments 22 ct", "GMS", 300, 612050, 120_000, true},
	{"8471", "Laptop 14\", 16 GB", "NOS", 1800, 5899900, 12, false},
	{"85171300", "Smartphone, 128 GB", "NOS", 1800, 1649900, 25, false},
	{"8703", "Hatchback, petrol", "NOS", 2800, 58250000, 3, false},
	{"9403", "Office chair, mesh", "NOS", 1800, 749900, 40, false},
}

var givenNames = []string{
	"Asha", "Ravi", "Fatima", "Joseph", "Gurpreet", "D'Souza", "M/s. Chandra",
	"आशा", "राजेश", "श्री गणेश", "मीनाक्षी",
	"முருகன்", "செல்வி", "தமிழ்",
	"সুব্রত", "অনন্যা", "দুর্গা",
	"હર્ષદ", "ભાવના", "જય અંબે",
}

var firmNames = []string{
	"Traders", "& Sons", "Textiles Pvt. Ltd.", "Enterprises, Unit-II", "Medical Stores", "Agencies (Regd.)",
	"ट्रेडर्स", "एंड कंपनी", "ஸ்டோர்ஸ்", "টেক্সটাইলস", "ટ્રેડિંગ કંપની",
}

// remarks are what people type into a free field: some of it ends careless formats.
var remarks = []string{
	"", "", "paid", "credit 30 days", "0012", "Delivered, unloaded, checked",
	"Said \"no bill, no payment\"", "line one\nline two", "line one\r\nline two", "tab\there", " leading and trailing ",
	"=SUM(A1:A9)", "'quoted'", "<b>&amp;</b>", "_x0041_ is not A", "1e5", "धन्यवाद", "🙂 repeat order", "-", "NULL",
}
