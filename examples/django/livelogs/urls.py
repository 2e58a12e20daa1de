"""Login, the list of runs, and one run."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from livelogs import views

urlpatterns = [
    path("login", LoginView.as_view(template_name="livelogs/login.html"), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("", views.runs, name="runs"),
    path("runs/<uuid:run_id>", views.run, name="run"),
]
