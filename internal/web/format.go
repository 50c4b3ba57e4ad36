package web

import "html/template"

// functions are what templates call.
var functions = template.FuncMap{}
